# The floor of fab preflight: the same questions, one after the other, in a script that is given to one ssh. The lines
# LOGIN and IMAGES become the registry's login and the images, so that no password is an argument.
LOGIN
IMAGES
SOCKET=${DOCKER_HOST:-unix:///var/run/docker.sock}
for image in $IMAGES; do
    # The engine asks the registry; `docker manifest inspect` asks from elsewhere, and misleads about wrong logins.
    echo "header = \"X-Registry-Auth: $LOGIN\"" |
        curl --silent --config - --unix-socket "${SOCKET#unix://}" "http://engine/distribution/$image/json"
    docker image inspect --format '{{.Id}} {{json .Config.Labels}}' "$image"
done
STATE=$(echo ~/.local/state/gpu-runbook/azaion*)
stat -c '%F %a %U %G' /azaion /azaion/data /azaion/data-seed /azaion/data_deleted /azaion/data-processed /azaion/data-corrupted /azaion/datasets /azaion/models /azaion/logs "$STATE" /azaion/config.yaml
ls /var/lib/systemd/linger /run/systemd/system
docker ps --all --no-trunc --format '{{json .}}'
docker inspect --format '{{json .State}} {{.RestartCount}} {{.Image}} {{json .Config.Labels}}' annotation-queue
timeout -k 2 10 nvidia-smi --query-compute-apps=pid,process_name,gpu_uuid --format=csv,noheader,nounits
timeout -k 2 10 nvidia-smi --query-gpu=index,uuid,name,driver_version,memory.used,memory.total,utilization.gpu,temperature.gpu --format=csv,noheader,nounits
ls -t /azaion/models/*/weights/last.pt | head -1
docker info --format '{{json .Runtimes}} {{.DockerRootDir}}'
df --output=pcent,ipcent /azaion /var/lib/docker
cat "$STATE"/previous-tags.json "$(ls "$STATE"/runs/*.jsonl | tail -1)" /azaion/offset.yaml
sha256sum /azaion/config.yaml
