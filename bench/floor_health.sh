# The floor of a health check: the same questions, as far as a shell can ask them, in one script over one ssh.
docker inspect --format '{{json .State}} {{.RestartCount}}' annotation-queue
timeout 5 bash -c "exec 3<>/dev/tcp/127.0.0.1/$RABBITMQ_PORT" && echo reachable
timeout -k 2 10 nvidia-smi --query-gpu=index,uuid,name,driver_version,memory.used,memory.total,utilization.gpu,temperature.gpu --format=csv,noheader,nounits
df --output=pcent,ipcent /azaion /var/lib/docker
cat /azaion/offset.yaml
