# bash completion for every tool: options and choices are read from --help, the rest are files.
_fusion_tools() {
    local tool=$1 current=$2 previous=$3 words=
    if [[ $current == -* ]]; then
        words=$("$tool" --help 2>/dev/null | sed -nE 's/^ +(-., )?(--[a-z-]+).*/\2/p')
    elif [[ $previous == --* ]]; then
        # The line under an option that takes one of a few words lists them: a|b|c.
        words=$("$tool" --help 2>/dev/null | awk -v option="$previous" '
            under && $1 ~ /[|]/ { gsub(/[|]/, " ", $1); print $1 }
            { under = $1 == option || $2 == option }')
    fi
    if [ -n "$words" ]; then
        mapfile -t COMPREPLY < <(compgen -W "$words" -- "$current")
    else
        mapfile -t COMPREPLY < <(compgen -f -- "$current")
    fi
}
