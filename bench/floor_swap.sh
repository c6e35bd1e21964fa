# The floor of a swap: what anybody types at the server. Arguments: the container that runs, and the one that is to.
docker stop -t 30 "$1" >/dev/null && docker start "$2" >/dev/null
