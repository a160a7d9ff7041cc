#!/bin/sh
# farmgate-split: prints the share of tests that this shard of a `parallel` job runs. POSIX sh and awk only.
#
#   farmgate-split 'tests/**/test_*.py'            files of the working directory that fit the patterns
#   make list-tests | farmgate-split --by name     names from standard input, one a line
#
# Rules:
# 1. The longest first, each to the shard that has least so far, by the times of earlier runs: alike in every shard of a
#    run, since all of them are given the same times and the same names.
# 2. Every name goes to exactly one shard. A name without a time is taken to need as much as the median of the others.
# 3. The share is printed in the order of the names. It may be empty: then nothing is printed and the status is 0.
# 4. A step that fails ends it (no pipes, which hide that); patterns that no file fits are an error: no test is lost
#    silently.
set -eu
LC_ALL=C
export LC_ALL

usage() {
  echo 'usage: farmgate-split [--by file|class|name] [--shard N --of N] [PATTERN...]' >&2
  echo 'Without a pattern the names come on standard input, one a line.' >&2
  exit 2
}

by=file
shard=${FARMGATE_SHARD:-1}
shards=${FARMGATE_SHARDS:-1}
times=${FARMGATE_TIMES:-${0%/*}/../times}
while [ $# -gt 0 ]; do
  case $1 in
    --by | --shard | --of | --times)
      [ $# -ge 2 ] || usage
      case $1 in --by) by=$2 ;; --shard) shard=$2 ;; --of) shards=$2 ;; --times) times=$2 ;; esac
      shift 2 ;;
    --by=*) by=${1#*=}; shift ;;
    --) shift; break ;;
    -*) usage ;;
    *) break ;;
  esac
done
case $by in file | class | name) ;; *) usage ;; esac
case $shard$shards in *[!0-9]* | '') usage ;; esac
if [ "$shard" -lt 1 ] || [ "$shards" -lt 1 ] || [ "$shard" -gt "$shards" ]; then usage; fi

made=$(mktemp -d "${TMPDIR:-/tmp}/farmgate-split.XXXXXX")
trap 'rm -rf "$made"' EXIT

if [ $# -gt 0 ]; then
  : >"$made/patterns"
  for pattern; do printf '%s\n' "${pattern#./}" >>"$made/patterns"; done
  find . -name .git -prune -o -type f -print >"$made/found"
  awk -v patterns="$made/patterns" '
    function expression(glob,   out, at, c, two, close_at) {
      out = "^"
      for (at = 1; at <= length(glob); at++) {
        c = substr(glob, at, 1)
        if (substr(glob, at, 3) == "**/") { out = out "(.*/)?"; at += 2 }
        else if (substr(glob, at, 2) == "**") { out = out ".*"; at += 1 }
        else if (c == "*") out = out "[^/]*"
        else if (c == "?") out = out "[^/]"
        else if (c == "[") {
          close_at = index(substr(glob, at + 2), "]")
          if (!close_at) out = out "\\["
          else {
            two = substr(glob, at + 1, close_at)
            if (substr(two, 1, 1) == "!") two = "^" substr(two, 2)
            out = out "[" two "]"
            at += close_at + 1
          }
        }
        else if (index(special, c)) out = out "\\" c
        else out = out c
      }
      return out "$"
    }
    BEGIN {
      special = ".^$+(){}|]\\"
      while ((getline line < patterns) > 0) wanted[++count] = expression(line)
    }
    {
      sub(/^\.\//, "")
      for (at = 1; at <= count; at++) if ($0 ~ wanted[at]) { print; next }
    }' "$made/found" >"$made/fitting"
  sort -u "$made/fitting" >"$made/names"
  if [ ! -s "$made/names" ]; then
    echo "farmgate-split: no file fits: $*" >&2
    exit 1
  fi
else
  awk 'NF && !seen[$0]++' >"$made/names"
fi
[ -f "$times" ] || times=/dev/null

# Milliseconds of each name, or - where nothing is known: name's number, milliseconds.
awk -F '\t' -v by="$by" '
  function plain(name) {
    sub(/^\.\//, "", name)
    if (by == "file") sub(/\.[A-Za-z0-9]+$/, "", name)
    gsub(/\.(py|js|ts|rb|php)::/, ".", name)
    gsub(/::/, ".", name)
    gsub(/\//, ".", name)
    return name
  }
  function add(key, ms) { took[key] += ms; known[key] = 1 }
  FNR == 1 { input++ }
  input == 1 && FILENAME == ARGV[1] {
    # file, class, name, milliseconds
    if (by == "file") {
      if ($1 != "") add("f" plain($1), $4)
      else {
        parts = split($2, part, ".")
        path = ""
        for (at = 1; at <= parts; at++) { path = path (at > 1 ? "." : "") part[at]; add("c" path, $4) }
      }
    } else if (by == "class") add("c" $2, $4)
    else { add("n" $2 "." $3, $4); add("b" $3, $4) }
    next
  }
  {
    name = plain($0)
    ms = "-"
    if (by == "file") {
      if (known["f" name]) ms = took["f" name]
      else {
        # A class is named from some folder on: tests/unit/test_a.py may be unit.test_a.
        left = name
        while (1) {
          if (known["c" left]) { ms = took["c" left]; break }
          dot = index(left, ".")
          if (!dot) break
          left = substr(left, dot + 1)
        }
      }
    } else if (by == "class") { if (known["c" name]) ms = took["c" name] }
    else if (known["n" name]) ms = took["n" name]
    else if (known["b" $0]) ms = took["b" $0]
    printf "%d\t%s\n", FNR, ms
  }' "$times" "$made/names" >"$made/known"

awk -F '\t' '$2 != "-" { print $2 }' "$made/known" >"$made/told"
sort -n "$made/told" >"$made/sorted"
median=$(awk '{ v[NR] = $1 } END { if (NR) print v[int((NR + 1) / 2)]; else print 1000 }' "$made/sorted")

# The longest first; equal ones in the order of the names.
awk -F '\t' -v median="$median" '{ printf "%d\t%d\n", $1, ($2 == "-" ? median : $2) + 1 }' "$made/known" >"$made/weighed"
sort -t "$(printf '\t')" -k2,2nr -k1,1n "$made/weighed" >"$made/longest"
awk -F '\t' -v shards="$shards" -v shard="$shard" '
  {
    least = 1
    for (at = 2; at <= shards; at++) if (load[at] + 0 < load[least] + 0) least = at
    load[least] += $2
    if (least == shard) print $1
  }' "$made/longest" >"$made/mine"

awk 'FNR == 1 { input++ } FILENAME == ARGV[1] { mine[$1] = 1; next } mine[FNR]' "$made/mine" "$made/names"
