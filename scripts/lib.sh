# shellcheck shell=bash
# Shared by the scripts: where caches live, how progress and failures are shown.
# Sourced, never run. Messages go to stderr; stdout belongs to results.

set -euo pipefail

TOP=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
CACHE=${IFREF_CACHE:-${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/ifref}
export TOP CACHE

say() { printf '%s\n' "$*" >&2; }
die() { printf '%s: %s\n' "$(basename "$0")" "$*" >&2; exit 1; }

# key WORDS... - short name of what went into a cache entry; stdin is hashed too.
key() { { printf '%s\0' "$@"; cat; } | sha256sum | cut -c1-12; }

# locked NAME - hold $CACHE/NAME.lock until the script ends, so that two runs
# never build the same entry at once.
locked() {
	mkdir -p "$CACHE"
	exec {lock_fd}>"$CACHE/$1.lock"
	flock -n "$lock_fd" || { say "$1: another run is at work on it, waiting"; flock "$lock_fd"; }
}

# step "WHAT" SECONDS COMMAND... - run COMMAND with its output in a log and show
# how far it probably is: a bar on a terminal, otherwise a line every 20 s.
# SECONDS is what it usually takes on two cores. A failure shows the log's end.
step() {
	local what=$1 usual=$2 log start pid spent=0 told=0 status=0 line
	shift 2
	mkdir -p "$CACHE/log"
	log=$CACHE/log/$(printf '%s' "$what" | tr -c 'a-zA-Z0-9.+\n-' '_').log
	start=$SECONDS
	if [ ! -t 2 ]; then
		say "  $what (usually ${usual} s)"
	fi
	# A process group of its own, so that an interrupt ends all of it.
	set -m
	"$@" >"$log" 2>&1 </dev/null &
	pid=$!
	set +m
	# shellcheck disable=SC2064 # this very pid
	trap "kill -- -$pid 2>/dev/null" EXIT
	trap 'exit 130' INT TERM
	while kill -0 "$pid" 2>/dev/null; do
		spent=$((SECONDS - start))
		if [ -t 2 ]; then
			printf '\r\033[K  %-46s %s %3d s of about %d' "$what" \
				"$(bar "$spent" "$usual")" "$spent" "$usual" >&2
		elif [ $((spent - told)) -ge 20 ]; then
			told=$spent
			say "    ... $spent s of about $usual"
		fi
		sleep 0.5
	done
	wait "$pid" || status=$?
	trap - EXIT INT TERM
	spent=$((SECONDS - start))
	if [ -t 2 ]; then printf '\r\033[K' >&2; fi
	if [ "$status" -ne 0 ]; then
		say "  $what: FAILED after $spent s (exit $status); the end of $log:"
		while IFS= read -r line; do say "    $line"; done < <(tail -n 25 "$log")
		return "$status"
	fi
	say "  $what: done in $spent s"
}

bar() {
	local width=20 n
	n=$(($1 * width / ($2 > 0 ? $2 : 1)))
	if [ "$n" -gt "$width" ]; then n=$width; fi
	printf '[%s%s]' "$(printf '%*s' "$n" '' | tr ' ' '#')" "$(printf '%*s' $((width - n)) '' | tr ' ' '.')"
}

# kbuild KDIR FOLDER ARGUMENTS... - the kernel's build system on this checkout, its
# objects in FOLDER. RUSTC and BINDGEN override the tools.
kbuild() {
	local kdir=$1 out=$2 args
	shift 2
	args=(-C "$kdir" "M=$TOP" "MO=$TOP/$out" "KERNELRELEASE=$(cat "$kdir/include/config/kernel.release")"
		"RUSTC=${RUSTC:-rustc}" "BINDGEN=${BINDGEN:-bindgen}" "-j$(nproc)")
	if grep -q '^CONFIG_CC_IS_CLANG=y' "$kdir/.config"; then args+=(LLVM=1); fi
	mkdir -p "$TOP/$out"
	make "${args[@]}" "$@"
}

# isolated COMMAND... - run COMMAND in mount and PID namespaces of its own. In a chroot
# that is no mount point, propagation cannot be changed and need not be.
isolated() {
	local propagation=private
	unshare --mount --propagation private true 2>/dev/null || propagation=unchanged
	unshare --mount --propagation "$propagation" --pid --fork --kill-child "$@"
}

# A cache entry is a folder; it counts as complete only with a manifest, written
# last, and only while the files that the manifest names still have their sums.
seal() { # seal DIR - the names of files come on stdin, one a line
	(cd "$1" && xargs -d '\n' sha256sum --) >"$1/.manifest.tmp"
	mv "$1/.manifest.tmp" "$1/.manifest"
}
sealed() { # sealed DIR
	[ -f "$1/.manifest" ] && (cd "$1" && sha256sum --status --strict -c .manifest 2>/dev/null)
}
# seal_kernel DIR - of a kernel's entry, what a build or a boot of it needs.
seal_kernel() {
	(cd "$1" && find version vmlinuz modules src/Makefile out/.config out/Module.symvers out/rust \
		out/include/generated out/scripts out/tools -type f \( ! -path 'out/*' -o -perm -u+x \
		-o -name '*.rmeta' -o -name '*.so' -o -name '*.h' -o -name .config -o -name Module.symvers \)) |
		seal "$1"
}
# took DIR - note in an entry how long it took to make; scripts/check prints it.
took() { printf '%s\n' "$SECONDS" >"$1/took"; }
# discard DIR - remove an incomplete or broken entry, saying why it goes.
discard() {
	[ -e "$1" ] || return 0
	if [ -f "$1/.manifest" ]; then
		say "  $(basename "$1") in the cache is damaged: making it anew"
	else
		say "  $(basename "$1") in the cache is incomplete: making it anew"
	fi
	rm -f "$1/.manifest"
	rm -rf --one-file-system "$1"
}
