# Read first by every entry point; from here on it is at the root.
# shellcheck shell=sh
set -eu
cd "$(dirname "$0")/.."
me=scripts/${0##*/}
python=${PYTHON:-python3}

# Each entry point answers this before it sets up or starts anything.
asks_for_help() {
    case " $* " in *" --help "* | *" -h "*) ;; *) return 1 ;; esac
}

# What stands at the top of the entry point.
tell() {
    echo "$me"
    sed -n '2,/^[^#]/ s/^# \{0,1\}//p' "$me"
    exit
}

takes_no_arguments() {
    [ $# -eq 0 ] || { echo "$me takes no arguments; $me --help tells what it does." >&2; exit 2; }
}

# What a module says of its arguments.
tell_of() {
    need_python
    exec "$python" -m "$1" --help
}

need_python() {
    fit="import sys; print(sys.version.split()[0]); sys.exit(sys.version_info < (3, 11))"
    found=$("$python" -c "$fit" 2>/dev/null) || {
        echo "Python 3.11 or newer is needed; $python is ${found:-not there}." >&2
        echo "Name one: PYTHON=/path/to/python3 $me" >&2
        exit 1
    }
}

# Makes .venv and gets servers' programs, where they are missing.
set_up() {
    need_python
    "$python" -m lab.setup.bootstrap "$@"
}

# Becomes a module that runs on the sidecar as its image has it, compiled. Elsewhere all runs as it is written.
run_compiled() {
    .venv/bin/python -m lab.setup.compiled
    PYTHONPATH=$PWD/build/compiled:$PWD exec .venv/bin/python -P -m "$@"
}
