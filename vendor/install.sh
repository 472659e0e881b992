#!/bin/sh
# install.sh -- installs the packages of README.md's table with the system's package manager.
#   sh vendor/install.sh            installs what is missing (root, or sudo); nothing missing: does nothing
#   sh vendor/install.sh --check    only says what is missing
#   sh vendor/install.sh --list     the table, for people
# Ends 0 when everything is there. Needs nothing but a POSIX shell: make and the compiler come from here.
set -u
PATH=$PATH:/usr/sbin:/sbin            # ldconfig
here=$(cd "$(dirname "$0")" && pwd) || exit 1
table=$here/README.md
mode=${1-}

case $mode in
'' | --check) ;;
--list)
  grep '^|' "$table"
  exit 0 ;;
*)
  echo "install.sh: unknown option $mode (options: --check, --list)" >&2
  exit 2 ;;
esac

has() { command -v "$1" >/dev/null 2>&1; }

manager=none
for m in apt-get brew dnf pacman; do
  if has $m; then manager=$m; break; fi
done

installed() { # installed PACKAGE: asks the package manager
  case $manager in
  apt-get) [ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ] ;;
  brew) brew list --versions "$1" >/dev/null 2>&1 ;;
  dnf) rpm -q "$1" >/dev/null 2>&1 ;;
  pacman) pacman -Qq "$1" >/dev/null 2>&1 ;;
  *) return 1 ;;
  esac
}

all_installed() {
  [ $# -gt 0 ] && [ "$1" != - ] || return 1
  for p; do installed "$p" || return 1; done
}

# Another package, or a build from source, may provide the same thing.
probe() { # probe KIND NAME
  case $1 in
  cmd) has "$2" ;;
  pc) has pkg-config && pkg-config --exists "$2" ;;
  inc) has cc && echo "#include <$2>" | cc -E -xc - >/dev/null 2>&1 ;;
  lib) has ldconfig && ldconfig -p 2>/dev/null | grep -q "$2" ;;
  dir) [ -n "$(ls "$2" 2>/dev/null)" ] ;;
  lua54) for p in lua5.4 lua-5.4 lua54; do has pkg-config && pkg-config --exists $p && return 0; done; return 1 ;;
  module) has lua5.4 && lua5.4 -e "require '$2'" >/dev/null 2>&1 ;;
  *) return 1 ;;
  esac
}

names=          # of the table's rows that are missing
packages=       # that would provide them
unknown=        # rows for which this package manager has none
needed=         # set when a missing row is for the build or the tests
while IFS='|' read -r empty name use _ _ apt brew dnf pacman check _; do
  [ -z "$empty" ] && [ -n "$check" ] || continue   # not a row of the table
  name=$(echo $name) use=$(echo $use)              # without the spaces around them
  case $name in name | -*) continue ;; esac
  case $manager in
  apt-get) want=$apt ;; brew) want=$brew ;; dnf) want=$dnf ;; pacman) want=$pacman ;; *) want=- ;;
  esac
  want=$(echo $want)
  # shellcheck disable=SC2086  # both are lists of words
  all_installed $want && continue
  # shellcheck disable=SC2086
  probe $check && continue
  names="$names${names:+, }$name"
  case $use in build | test) needed=1 ;; esac
  case $want in
  -) unknown="$unknown${unknown:+, }$name" ;;
  *) packages="$packages $want" ;;
  esac
done <"$table"
packages=${packages# }
give_up() { # only luacheck or LuaRocks missing does not stop the build or the tests
  [ -n "$needed" ] && exit 1
  echo "install.sh: the build and the tests do without it"
  exit 0
}

if [ -z "$names" ]; then
  echo "install.sh: everything is installed"
  exit 0
fi
echo "install.sh: missing: $names"

case $manager in
apt-get) command="apt-get install -y --no-install-recommends $packages" ;;
brew) command="brew install $packages" ;;
dnf) command="dnf install -y $packages" ;;
pacman) command="pacman -S --needed --noconfirm $packages" ;;
*) command= ;;
esac

[ -z "$unknown" ] || [ "$manager" = none ] || echo "install.sh: $manager has no package for: $unknown (see vendor/README.md)"
if [ "$manager" = none ]; then
  echo "install.sh: no apt-get, brew, dnf or pacman here; install them by hand (vendor/README.md names them)" >&2
  give_up
fi
[ "$mode" = --check ] && { [ -z "$packages" ] || echo "install.sh: would run: $command"; exit 1; }

# How to become root: not at all, by sudo, or (Homebrew) never.
become=
if [ "$manager" != brew ] && [ "$(id -u)" != 0 ]; then
  if has sudo; then
    become=sudo
  else
    echo "install.sh: not root and no sudo; ask an administrator to run:" >&2
    echo "  $command" >&2
    give_up
  fi
fi

if [ -n "$packages" ]; then
  echo "install.sh: $become${become:+ }$command"
  if [ "$manager" = apt-get ]; then
    $become apt-get update -q </dev/null || echo "install.sh: apt-get update failed; trying with the lists that are here" >&2
    # shellcheck disable=SC2086
    $become env DEBIAN_FRONTEND=noninteractive $command </dev/null
  else
    # shellcheck disable=SC2086
    $become $command </dev/null
  fi || {
    echo "install.sh: that failed; as root, run:" >&2
    echo "  $command" >&2
    give_up
  }
fi
[ -z "$unknown" ] || give_up
