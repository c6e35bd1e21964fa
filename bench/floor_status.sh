# The floor of fab status: what runs, of which image, the log's last lines, the record, the last run, what trains, the
# disks, the offset; floor_stream.sh follows. The line REPOSITORY becomes the name of the training image.
REPOSITORY
docker ps --all --no-trunc --format '{{json .}}'
docker inspect --format '{{json .State}} {{.RestartCount}} {{.Image}} {{json .Config.Labels}}' annotation-queue
docker logs --tail 20 annotation-queue
docker image inspect --format '{{.Id}}' "$TRAINING:current"
timeout -k 2 10 nvidia-smi --query-compute-apps=pid,process_name,gpu_uuid --format=csv,noheader,nounits
timeout -k 2 10 nvidia-smi --query-gpu=index,uuid --format=csv,noheader,nounits
ls -t /azaion/models/*/weights/last.pt | head -1
STATE=$(echo ~/.local/state/gpu-runbook/azaion*)
df --output=pcent,ipcent /azaion "$(docker info --format '{{.DockerRootDir}}')"
cat "$STATE"/previous-tags.json "$(ls "$STATE"/runs/*.jsonl | tail -1)" /azaion/offset.yaml
