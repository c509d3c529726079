"""Completion scripts for bash, zsh and fish, from the grammar of the command line. Pure.

Each knows the same: verbs, the words behind a verb, options, their values, files. For the ids of
windows it runs `enforcer completion windows`, with the `--config` that stands on the line.
Why not a library: docs/decisions/0021.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from enforcer.cli.grammar import Argument, Grammar, Option

_Value = Option | Argument

_HEAD = "# Made by `enforcer completion {}`, for enforcer's command line.\n"

# bash and zsh walk the line in the same way; they differ in their arrays and in how they answer.
_WALK = """\
_enforcer_walk() {{
    # What stands before the cursor → verb, position (arguments behind it), config.
    verb= position=0 config=
    local expects= word
    for word in "$@"; do
        if [[ -n $expects ]]; then
            [[ $expects == --config ]] && config=$word
            expects=
            continue
        fi
        case $word in
            {global_valued}) expects=$word; continue ;;
        esac
        case "$verb $word" in
            {valued}) expects=$word; continue ;;
        esac
        case $word in
            -*) continue ;;
        esac
        if [[ -z $verb ]]; then
            verb=$word
            continue
        fi
        case "$verb $word" in
            {within}) verb="$verb $word" ;;
            *) position=$((position + 1)) ;;
        esac
    done
}}

_enforcer_windows() {{
    if [[ -n $config ]]; then
        enforcer --config "$config" completion windows 2>/dev/null
    else
        enforcer completion windows 2>/dev/null
    fi
}}
"""

_BASH = """\
_enforcer_words() {{ mapfile -t COMPREPLY < <(compgen -W "$1" -- "$cur"); }}
_enforcer_paths() {{
    compopt -o filenames 2>/dev/null
    mapfile -t COMPREPLY < <(compgen "$1" -- "$cur")
}}
_enforcer_files() {{ _enforcer_paths -f; }}
_enforcer_directories() {{ _enforcer_paths -d; }}

_enforcer() {{
    local IFS=$' \\t\\n' cur prev verb position config at piece line=()
    # bash breaks words at : and =, in the middle of an instant for example.
    for ((at = 1; at <= COMP_CWORD; at++)); do
        piece=${{COMP_WORDS[at]}}
        if ((${{#line[@]}})) && [[ $piece == [:=]* || ${{line[-1]}} == *[:=] ]]; then
            line[-1]+=$piece
        else
            line+=("$piece")
        fi
    done
    cur=${{line[-1]}}
    unset 'line[-1]'
    ((${{#line[@]}})) && prev=${{line[-1]}}
    COMPREPLY=()
    _enforcer_walk "${{line[@]}}"
{body}}}
complete -F _enforcer enforcer
"""

_ZSH = """\
_enforcer_words() {{ compadd -- ${{=1}}; }}
_enforcer_files() {{ _files; }}
_enforcer_directories() {{ _files -/; }}

_enforcer() {{
    local cur=$words[CURRENT] prev=$words[CURRENT-1] verb position config
    _enforcer_walk "${{(@)words[2,CURRENT-1]}}"
{body}}}
if [[ $funcstack[1] == _enforcer ]]; then
    _enforcer "$@"
else
    compdef _enforcer enforcer
fi
"""


def bash(grammar: Grammar) -> str:
    words = "_enforcer_words"
    return _HEAD.format("bash") + _walk(grammar) + "\n" + _BASH.format(body=_body(grammar, words))


def zsh(grammar: Grammar) -> str:
    head = "#compdef enforcer\n" + _HEAD.format("zsh")
    body = _body(grammar, "_enforcer_words")
    verbs = " ".join(_quoted(f"{c.name}:{c.help}".replace("::", ":")) for c in grammar.verbs)
    described = f"local -a verbs=({verbs}); _describe verb verbs"
    plain = _words("_enforcer_words", (c.name for c in grammar.verbs))
    return head + _walk(grammar) + "\n" + _ZSH.format(body=body.replace(plain, described))


def _walk(grammar: Grammar) -> str:
    shared = _flags(o for o in grammar.options if o.kind != "none")
    own = [
        f"{command.name} {flag}"
        for command in grammar.commands
        for flag in _flags(o for o in command.options if o.kind != "none")
        if flag not in shared
    ]
    within = [f"{c.name} {word}" for c in grammar.commands for word in c.within]
    return _WALK.format(
        global_valued="|".join(shared), valued=_patterns(own), within=_patterns(within)
    )


def _patterns(texts: list[str]) -> str:
    return "|".join(_quoted(text) for text in texts) or "''"


def _body(grammar: Grammar, words: str) -> str:
    """What to offer: the value of the option before, an option, or what is due at this place."""
    lines = ['    case "$verb $prev" in']
    for command in grammar.commands:
        for option in command.options:
            lines += [
                f"        {_quoted(f'{command.name} {flag}')}) {_offer(option, words)}; return ;;"
                for flag in option.flags
                if option.kind != "none"
            ]
    for option in grammar.options:
        if option.kind != "none":
            flags = "|".join(f"*{_quoted(f' {flag}')}" for flag in option.flags)
            lines.append(f"        {flags}) {_offer(option, words)}; return ;;")
    lines += ["    esac", "    if [[ $cur == -* ]]; then", '        case "$verb" in']
    shared = _flags(grammar.options)
    for command in grammar.commands:
        # `--version` is asked of the whole; behind a verb it means nothing.
        behind = [f for f in shared if f != "--version" and f not in _flags(command.options)]
        offered = _words(words, (*_flags(command.options), *behind))
        lines.append(f"            {_quoted(command.name)}) {offered} ;;")
    lines += [
        f"            '') {_words(words, shared)} ;;",
        "        esac",
        "        return",
        "    fi",
    ]
    lines += ['    case "$verb $position" in', f"        ' 0') {_verbs(grammar, words)} ;;"]
    for command in grammar.commands:
        if command.within:
            lines.append(
                f"        {_quoted(command.name + ' 0')}) {_words(words, command.within)} ;;"
            )
        for at, argument in enumerate(command.arguments):
            place = f"{_quoted(command.name + ' ')}*" if argument.many else ""
            place = place or _quoted(f"{command.name} {at}")
            lines.append(f"        {place}) {_offer(argument, words)} ;;")
    return "\n".join([*lines, "    esac", ""])


def _verbs(grammar: Grammar, words: str) -> str:
    return _words(words, (command.name for command in grammar.verbs))


def _words(function: str, words: Iterable[str]) -> str:
    return f"{function} {_quoted(' '.join(words))}"


def _offer(value: _Value, words: str) -> str:
    match value.kind:
        case "choice":
            return _words(words, value.choices)
        case "file":
            return "_enforcer_files"
        case "directory":
            return "_enforcer_directories"
        case "window":
            return f'{words} "$(_enforcer_windows)"'
    return ":"


def _flags(options: Iterable[Option]) -> tuple[str, ...]:
    return tuple(flag for option in options for flag in option.flags)


def _quoted(text: str) -> str:
    """For a POSIX shell, and for zsh."""
    return "'" + text.replace("'", "'\\''") + "'"


# --- fish ---------------------------------------------------------------------------------------

_FISH = """\
function __enforcer_windows
    set -l words (commandline -opc)
    set -l at (contains -i -- --config $words)
    and set -l config --config $words[(math $at + 1)]
    enforcer $config completion windows 2>/dev/null
end

complete -c enforcer -f
"""


def fish(grammar: Grammar) -> str:
    lines = [_HEAD.format("fish") + _FISH]
    verbs = " ".join(command.name for command in grammar.verbs)
    nothing_yet = f"not __fish_seen_subcommand_from {verbs}"
    for option in grammar.options:
        only = f" -n {_fished(nothing_yet)}" if "--version" in option.flags else ""
        lines.append(f"complete -c enforcer{only}{_fish_option(option)}")
    for command in grammar.verbs:
        lines.append(_fish_word(nothing_yet, command.name, command.help))
    for command in grammar.commands:
        here = "; and ".join(f"__fish_seen_subcommand_from {word}" for word in command.path)
        if command.within:
            words = " ".join(command.within)
            deeper = f"{here}; and not __fish_seen_subcommand_from {words}"
            lines += [
                _fish_word(deeper, inner.path[-1], inner.help)
                for inner in grammar.commands
                if inner.path[:-1] == command.path
            ]
        lines += [
            f"complete -c enforcer -n {_fished(here)}{_fish_option(option)}"
            for option in command.options
        ]
        for argument in command.arguments:
            lines += _fish_argument(here, argument)
    return "\n".join([*lines, ""])


def _fish_word(condition: str, word: str, text: str) -> str:
    return f"complete -c enforcer -n {_fished(condition)} -a {_fished(word)} -d {_fished(text)}"


def _fish_option(option: Option) -> str:
    said = ""
    for flag in option.flags:
        said += f" -l {flag[2:]}" if flag.startswith("--") else f" -s {flag[1:]}"
    match option.kind:
        case "none":
            pass
        case "choice":
            said += f" -xa {_fished(' '.join(option.choices))}"
        case "file" | "directory":
            said += " -rF"
        case _:
            said += " -x"
    return f"{said} -d {_fished(option.help)}"


def _fish_argument(here: str, argument: Argument) -> list[str]:
    head = f"complete -c enforcer -n {_fished(here)}"
    match argument.kind:
        case "choice":
            some = " ".join(argument.choices)
            once = f"{here}; and not __fish_seen_subcommand_from {some}"
            return [f"complete -c enforcer -n {_fished(once)} -a {_fished(some)}"]
        case "file":
            return [f"{head} -F"]
        case "directory":
            return [f"{head} -a '(__fish_complete_directories)'"]
        case "window":
            return [f"{head} -a '(__enforcer_windows)'"]
    return []


def _fished(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


SCRIPTS: dict[str, Callable[[Grammar], str]] = {"bash": bash, "zsh": zsh, "fish": fish}
