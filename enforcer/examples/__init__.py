"""The examples of `config/`, for `enforcer init`: links in the repository, files in the package."""
