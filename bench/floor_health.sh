# The floor of a health check: the same questions, one after the other, as a person would write them into a script that
# is given to one ssh; floor_stream.sh follows.
docker inspect --format '{{json .State}} {{.RestartCount}}' annotation-queue
timeout -k 2 10 nvidia-smi --query-gpu=index,uuid,name,driver_version,memory.used,memory.total,utilization.gpu,temperature.gpu --format=csv,noheader,nounits
df --output=pcent,ipcent /azaion "$(docker info --format '{{.DockerRootDir}}')"
cat /azaion/offset.yaml
