"""What nobody may get through a door of the consortium, whoever keeps the door."""

HOSTILE_PATHS = (
    b"/",
    b"/docs",
    b"/health",
    b"/v1/control/start-run",
    b"/v1/control/register-node",
    b"/v1/runtime/acquire-task",
    b"/v1/fleet/register-node",
    b"/v1/fleet/unregister-node",
    b"/v1/fleet/",
    b"/v1/fleet/../control/start-run",
    b"/v1/fleet/%2e%2e/control/start-run",
    b"/v1/fleet/..%2fcontrol%2fstart-run",
    b"/v1/fleet//pull-messages",
    b"//v1/fleet/pull-messages",
    b"/v1/fleet/pull-messages/",
    b"/v1/fleet/pull-messages/../../control/start-run",
    b"/v1/fleet/pull%2dmessages",
    b"/V1/fleet/pull-messages",
    b"/v1/fleet/pull-messages;/v1/control/start-run",
    b"/v1/fleet/pull-messages\x00",
    b"https://127.0.0.1/v1/control/start-run",
)

HOSTILE_METHODS = ("GET", "HEAD", "PUT", "OPTIONS", "CONNECT", "post")
