"""Where policy text and registrations come from: files, feeds, last-good cache."""
