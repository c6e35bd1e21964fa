#!/bin/sh
# Stands in front of docker on the server: writes down every argument list, counts the calls that change something,
# and halts before or after one of them until it is told to go on.
here=/var/faults
{ printf '%s\0' "$@"; printf '\n'; } >>"$here/log"
case "$1" in
    create | rename | update | stop | start | rm | rmi | tag) ;;
    *) exec /usr/bin/docker "$@" ;;
esac
count=$(($(cat "$here/count") + 1))
echo "$count" >"$here/count"

halt() {
    [ "$(cat "$here/at")" = "$1 $count" ] || return 0
    echo $$ >"$here/reached"
    turns=0
    while [ ! -e "$here/go" ] && [ "$turns" -lt 3000 ]; do
        sleep 0.02
        turns=$((turns + 1))
    done
}

halt before
/usr/bin/docker "$@"
status=$?
halt after
exit "$status"
