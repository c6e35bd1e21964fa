"""Which tasks there are, and under which names."""

from invoke.collection import Collection

from tasks import (
    deploy,
    diff,
    encoding,
    env,
    health,
    history,
    logs,
    models,
    pause,
    preflight,
    prune,
    report,
    restart,
    sandbox,
    schedule,
    setup,
    shared,
    status,
    training,
)

shared.take_over()
encoding.fit()
namespace = Collection(
    *(setup.make, preflight.check),
    *(diff.show, deploy.deploy, deploy.rollback, deploy.follow),
    *(status.show, history.runs, history.show, logs.show, report.make),
    *(restart.restart, restart.stop, pause.pause, pause.resume, prune.prune),
    health.check,
)
namespace.add_collection(Collection.from_module(models), "models")
namespace.add_collection(Collection.from_module(env), "env")
namespace.add_collection(Collection.from_module(training), "training")
namespace.add_collection(Collection.from_module(schedule), "schedule")
namespace.add_collection(Collection.from_module(sandbox), "sandbox")
