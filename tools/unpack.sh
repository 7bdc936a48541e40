# Sourced by tools/setup: unpacks Debian packages of another release into a folder. Nothing is
# installed; apt works in a folder of its own, on the mirror that this machine uses.

# unpack WHAT RELEASE FOLDER PACKAGE...    WHAT of the packages' dependencies comes along:
#   alone    nothing (headers)
#   beside   what the system does not have in that version (libraries for the system's programs)
#   closure  everything, the C library too (programs that wrap_programs makes runnable)
unpack() {
    local what=$1 release=$2 folder=$3 mirror keys apt
    shift 3
    mirror=$(debian_mirror) || { echo "No Debian mirror is in this machine's apt sources." >&2; return 1; }
    keys=/usr/share/keyrings/debian-archive-keyring.gpg
    echo "Unpacking $* of $release into $folder"
    mkdir -p "$folder"
    apt=$(cd "$folder" && pwd)/apt-$release
    mkdir -p "$apt"/{etc/apt.conf.d,etc/preferences.d,etc/trusted.gpg.d,lists/partial,cache/archives/partial}
    : >"$apt/nothing-installed"
    echo "deb [signed-by=$keys] $mirror $release main" >"$apt/etc/sources.list"
    [ "$what" != beside ] || echo "deb [signed-by=$keys] $mirror ${release%-backports} main" >>"$apt/etc/sources.list"
    cat >"$apt/apt.conf" <<END
Dir::Etc "$apt/etc";
Dir::State "$apt";
Dir::State::lists "$apt/lists";
Dir::State::status "$([ "$what" = beside ] && echo /var/lib/dpkg/status || echo "$apt/nothing-installed")";
Dir::Cache "$apt/cache";
Acquire::Languages "none";
APT::Sandbox::User "";
Debug::NoLocking "true";
END
    (
        export APT_CONFIG=$apt/apt.conf
        apt-get -qq update
        cd "$apt/cache/archives"
        if [ "$what" = alone ]; then
            apt-get -qq download "$@"
        else
            apt-get -qq -y -o APT::Keep-Downloaded-Packages=true --no-install-recommends \
                --download-only -t "$release" install "$@"
        fi
    ) >"$apt/log" 2>&1 || { tail -n 20 "$apt/log" >&2; return 1; }
    local package
    for package in "$apt"/cache/archives/*.deb; do dpkg -x "$package" "$folder"; done
    rm -rf "$apt"
}

debian_mirror() { # the first address that ends in /debian, of either format of apt's sources
    { cat /etc/apt/sources.list /etc/apt/sources.list.d/* 2>/dev/null || true; } |
        awk '!/^ *#/ { for (i = 1; i <= NF && !found; i++)
                         if ($i ~ "^https?://.*/debian/?$") { print $i; found = 1 } }
             END { exit !found }'
}

# wrap_programs FOLDER PROGRAM...: FOLDER/../bin/PROGRAM runs FOLDER's with FOLDER's own libraries.
wrap_programs() {
    local folder=$1 name program loader libraries
    shift
    name=$(basename "$folder")
    loader=$(cd "$folder" && find usr -name 'ld-linux-*' | head -n 1)
    libraries=$(cd "$folder" && dirname "$(find usr/lib -name libc.so.6)")
    mkdir -p "$folder/../bin"
    for program in "$@"; do
        cat >"$folder/../bin/$program" <<END
#!/bin/sh
folder=\${0%/*}/../$name
exec "\$folder/$loader" --library-path "\$folder/$libraries" "\$folder/usr/bin/$program" "\$@"
END
        chmod +x "$folder/../bin/$program"
    done
}
