# The floor of fab logs: the one command that a person gives to ssh.
docker logs --tail 20 annotation-queue
