# SPDX-License-Identifier: MIT
# Read by the scripts that must work on a fresh Debian or Ubuntu:
#
#   . cmake/ensure_packages.sh
#   ensure_packages g++ cmake ...     installs what is missing, or says how and ends the script
#   ensure_cmake                      ends the script where CMake is too old for our presets
#
# FUNNEL_SKIP_PACKAGES=1 in the environment leaves the packages alone (they come from elsewhere).

# True where the package is there. A tool counts wherever it comes from; a library is asked of dpkg,
# and where there is no dpkg CMake looks for it and says what it misses.
package_present() {
  case $1 in
    g++ | cmake | clang | clang-format | clang-tidy) command -v "$1" >/dev/null ;;
    ninja-build) command -v ninja >/dev/null ;;
    *)
      ! command -v dpkg-query >/dev/null ||
        dpkg-query -W -f '${Status}' "$1" 2>/dev/null | grep -q 'install ok installed'
      ;;
  esac
}

ensure_packages() {
  [ "${FUNNEL_SKIP_PACKAGES:-0}" = 0 ] || return 0
  missing=
  for package in "$@"; do
    package_present "$package" || missing="$missing $package"
  done
  [ -n "$missing" ] || return 0

  if ! command -v apt-get >/dev/null; then
    echo "funnel needs, by the names of Debian's packages:$missing" >&2
    echo "There is no apt-get here: install them your system's way and run this again." >&2
    exit 1
  fi
  if [ "$(id -u)" = 0 ]; then
    as_root=env
  elif command -v sudo >/dev/null && sudo -n true 2>/dev/null; then
    as_root="sudo -n env"
  else
    echo "funnel needs packages that only root can install. Run this, then try again:" >&2
    echo "  sudo apt-get update && sudo apt-get install -y$missing" >&2
    exit 1
  fi

  echo "funnel: installing$missing"
  apt="$as_root DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=300"
  # A list that cannot be fetched is no reason to stop: the install says whether it mattered.
  $apt update </dev/null >/dev/null || true
  if ! $apt install -y --no-install-recommends $missing </dev/null >/dev/null; then
    echo "funnel: apt-get could not install$missing (what it said is above)" >&2
    exit 1
  fi
}

ensure_cmake() {
  version=$(cmake --version | sed -n '1s/[^0-9]*\([0-9]*\.[0-9]*\).*/\1/p')
  if [ "$(printf '3.25\n%s\n' "$version" | sort -V | head -n 1)" != 3.25 ]; then
    echo "funnel needs CMake 3.25 or newer, this is $version: Debian 12 and Ubuntu 24.04 have it." >&2
    echo "Elsewhere install a newer CMake, g++ (12 or newer) and xsimd (8.1 or newer) first." >&2
    exit 1
  fi
}

# What the build, the tests and the examples need.
funnel_packages="g++ cmake ninja-build libeigen3-dev libxsimd-dev catch2 libtbb-dev"
