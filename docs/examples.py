"""An example for each section of the page of hosts.yaml; each is a part of a file, and is read by the real loader."""

EXAMPLES = {
    "The file": """
defaults: {user: deploy, root: /azaion}
hosts:
  gpu-1: {address: gpu-1.lan}
services:
  training: {kind: batch, image: azaion/training, container: training}
keep_releases: 5
""",
    "hosts": """
defaults:
  user: deploy
  root: /azaion
hosts:
  gpu-1: {address: gpu-1.lan, groups: [prod], gpus: 4}
  gpu-2: {address: 10.0.0.12, port: 2222, groups: [prod], gpus: 4, gateway: me@bastion.lan}
  bench: {address: bench.lan, user: root, env: {file: bench.env}, docker_host: "unix:///run/user/1000/docker.sock"}
""",
    "env": """
defaults: {user: deploy, root: /azaion}
hosts:
  gpu-1: {address: gpu-1.lan, env: {server: /etc/azaion/.env}}
  gpu-2: {address: gpu-2.lan, env: {file: gpu-2.env}}
""",
    "registry": """
registry:
  server: registry.lan:5000
  username: deployer
""",
    "services: what both kinds have": """
services:
  annotation-queue:
    kind: consumer
    image: azaion/annotation-queue
    tag: "1.0"                              # in quotes: 1.0 without them is a number
    command: [python, consumer.py]
    user: "2000:2000"
    environment: {SAVE_EVERY: "50"}
    mounts: [/azaion:/azaion]               # directories: a container does not see a single file renamed
    network: host
    memory: 4g
""",
    "services: docker's options": """
services:
  training:
    kind: batch
    image: azaion/training
    container: training
    gpus: all
    shm_size: 8g                            # or ipc: host; for PyTorch's loader workers
    ulimits: {memlock: -1, stack: 67108864}
    mounts: [/azaion:/azaion, "cache:/root/.cache"]
  label-tool:
    kind: consumer
    image: azaion/label-tool
    entrypoint: [python, -m, label_tool]
    working_dir: /app
    init: true
    cpus: 1.5
    ports: [8080:80, "127.0.0.1:9100:9100"]
    extra_hosts: {db.lan: 10.0.0.5, host.docker.internal: host-gateway}
    devices: [/dev/video0]
    tmpfs: ["/tmp:size=1g,mode=1777"]
    group_add: [44, video]
    cap_add: [NET_ADMIN]
    security_opt: [no-new-privileges]
    log_driver: local
    log_options: {compress: true}
    mounts: ["/azaion/models:/models:ro"]
    options: {pids-limit: 500, read-only: true, sysctl: [net.core.somaxconn=1024]}
""",
    "services: a consumer": """
services:
  annotation-queue:
    kind: consumer
    image: azaion/annotation-queue
    mounts: [/azaion:/azaion]
    restart: unless-stopped
    stop_signal: SIGINT
    stop_grace: 30
    offset: {file: /azaion/offset.yaml}
    stream: {name: azaion-annotations}
""",
    "config": """
services:
  annotation-queue:
    kind: consumer
    image: azaion/annotation-queue
    mounts: [/azaion:/azaion]
    config:
      template: templates/config.yaml.j2
      path: /azaion/config.yaml
      owner: "1000:2000"
      mode: "0640"
      model_key: model
""",
    "offset": """
services:
  annotation-queue:
    kind: consumer
    image: azaion/annotation-queue
    mounts: [/azaion:/azaion]
    offset:
      file: /azaion/offset.yaml
      key: offset
      means: last                           # the number is the last offset handled, not the next one to read
      saved_every: 50
""",
    "stream": """
services:
  annotation-queue:
    kind: consumer
    image: azaion/annotation-queue
    stream:
      name: azaion-annotations
      host_variable: QUEUE_HOST             # QUEUE_HOST=rabbit.lan in .env
      port_variable: QUEUE_STREAM_PORT
""",
    "tls": """
services:
  annotation-queue:
    kind: consumer
    image: azaion/annotation-queue
    stream: {name: azaion-annotations, tls: {ca: /etc/rabbitmq-ca.pem}}     # RABBITMQ_PORT=5551 in .env
""",
    "watch": """
services:
  annotation-queue:
    kind: consumer
    image: azaion/annotation-queue
    watch:
      settle: 15
      window: 2m
      failure_text: ["Error while handling", "Traceback"]
      failure_level: error                  # 2026-03-28 14:30:00,123 ERROR …, or {"level": "ERROR", …}
""",
    "log_keys": """
services:
  annotation-queue:
    kind: consumer
    image: azaion/annotation-queue
    mounts: [/azaion:/azaion]
    log_files: [/azaion/logs/*.log, "/azaion/logs/%Y-%m-%d/queue.txt"]
    log_keys: {level: severity, message: text, time: at}
""",
    "healthcheck": """
services:
  annotation-queue:
    kind: consumer
    image: azaion/annotation-queue
    healthcheck:
      command: test -n "$(find /azaion/offset.yaml -mmin -10)"
      interval: 1m
      start_period: 30
""",
    "log": """
services:
  annotation-queue:
    kind: consumer
    image: azaion/annotation-queue
    log: {size: 50m, files: 5}
""",
    "env_file": """
services:
  annotation-queue:
    kind: consumer
    image: azaion/annotation-queue
    mounts: [/azaion:/azaion]
    env_file:
      path: /azaion/queue.env
      variables: [RABBITMQ_HOST, RABBITMQ_PASSWORD]
      owner: "1000:2000"
      mode: "0640"
""",
    "services: a batch service": """
services:
  training:
    kind: batch
    image: azaion/training
    tag: "1.0"
    container: training                     # docker run --name training
    label: team.azaion/job=training         # or a run of any name that bears this label
    local_tag: current                      # the next run is started from azaion/training:current
    checkpoints: /azaion/checkpoints
    resume: [--resume, /azaion/checkpoints]
    gpus: all
""",
    "process": """
services:
  training:
    kind: batch
    process:
      command: "python* *train.py*"
      user: azaion                            # whoever else runs one like it
      folder: /azaion                         # or elsewhere
    command: [python3, train.py]              # fab training.command prints it
    environment: {TRAINING_EPOCHS: "120"}
    checkpoints: /azaion/models
    resume: ["--resume={checkpoint}"]         # /azaion/models/azaion-2026-03-01/weights/last.pt
""",
    "ci": """
ci:
  forge: gitea                              # Forgejo too; github needs no address
  address: https://git.lan
  repository: azaion/{service}
  branch: dev
  required: [ci/woodpecker/push/*]
""",
    "scan": """
scan:
  report: scans/{service}-{tag}.json        # or a command that prints one
  max_age: 7d
  allow: scans/allowed.yaml
""",
    "tree": """
tree:
  .: {owner: "1000:2000", mode: "2770"}
  models: {owner: "1000:2000", mode: "2750"}
  annotations: {owner: "1000:2000", mode: "2770"}
""",
    "models": """
models:
  folder: /azaion/models
  name: azaion-DATE
  file: [weights/best.pt, weights/last.pt]
  in_force: copy
  current: azaion.pt
""",
    "health.disk": """
health:
  disk: {paths: [/azaion, /var/lib/docker], warning: 80, critical: 95}
""",
    "health.gpu": """
health:
  gpu: {warning: 85, critical: 95}
""",
    "health.offset": """
health:
  offset: {stale_after: 30m}
""",
    "schedule": """
schedule:
  every: 5m
  restart_stuck: true
  repeat: 4h
  heartbeat_variable: HEARTBEAT_URL
  textfile: /var/lib/prometheus/node-exporter/gpu-runbook.prom
  keep: 30d
""",
    "schedule.alerts": """
schedule:
  alerts:
    team: {kind: slack, url_variable: SLACK_URL}                # also Mattermost, Rocket.Chat
    phone: {kind: ntfy, url_variable: NTFY_URL, token_variable: NTFY_TOKEN}
    ours:
      kind: webhook
      url_variable: ALERT_URL
      body: {summary: "{title}", details: "{text}", severity: "{level}", source: "{server}"}
    mail:
      kind: smtp
      host: mail.lan
      user: gpu-runbook
      password_variable: SMTP_PASSWORD
      sender: gpu-runbook@mail.lan
      recipients: [ops@mail.lan]
    pager: {kind: command, command: [/usr/local/bin/page, --level, "{level}", "{title}"]}
""",
}
