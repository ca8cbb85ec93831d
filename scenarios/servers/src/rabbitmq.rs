//! `RabbitMQ` with `verify_peer` and `fail_if_no_peer_cert`.
//!
//! Erlang keeps files of certificates in a cache and looks at them again every two minutes; that is longer
//! than an experiment watches. `ssl:clear_pem_cache/0` empties it: `rabbitmqctl eval` with it is what people
//! type, `erl_call` does the same without a second virtual machine.
//!
//! The node is told its name before it starts, so that it needs no `epmd`: several run side by side, and
//! nothing outlives them. Other nodes would find it at a port of its own address.

use notafter::profile::{Protocol, Server, Way};

pub const SERVER: Server = Server {
    name: "rabbitmq",
    image: None,
    program: "rabbitmq-server",
    apart: Some("/usr/lib/rabbitmq"),
    package: Some("rabbitmq-server"),
    version: &[
        "-noinput",
        "-eval",
        "application:load(rabbit), {ok, V} = application:get_key(rabbit, vsn), \
         io:format(\"RabbitMQ ~s, Erlang/OTP ~s~n\", [V, erlang:system_info(otp_release)]), halt().",
    ],
    environment: &[
        // Its own script must neither start it another way nor wait beside it: the arguments are below.
        ("RABBITMQ_NODE_ONLY", "1"),
        ("RABBITMQ_ALLOW_INPUT", "1"),
        ("RABBITMQ_CONF_ENV_FILE", "/dev/null"),
        ("HOME", "{home}"),
        ("RABBITMQ_NODENAME", "notafter@{address}"),
        ("RABBITMQ_USE_LONGNAME", "true"),
        ("RABBITMQ_CONFIG_FILE", "{home}/rabbitmq.conf"),
        ("RABBITMQ_ENABLED_PLUGINS_FILE", "{home}/enabled_plugins"),
        ("RABBITMQ_MNESIA_BASE", "{home}/data"),
        ("RABBITMQ_LOG_BASE", "{home}"),
        ("RABBITMQ_LOGS", "-"),
    ],
    files: &[("rabbitmq.conf", CONFIG), ("enabled_plugins", "[].\n")],
    prepare: &[],
    command: &[
        "-noinput",
        "-s",
        "rabbit",
        "boot",
        "-name",
        "notafter@{address}",
        "-setcookie",
        "notafter",
        "-start_epmd",
        "false",
        "-erl_epmd_port",
        "{peer_port}",
        "-kernel",
        "inet_dist_use_interface",
        "{{octets}}",
        // One that waits must not take a core from those beside it.
        "+S",
        "1:1",
        "+sbwt",
        "none",
    ],
    chain_file: "tls.crt",
    key_file: "tls.key",
    revocation: None,
    unprivileged: true,
    // A virtual machine of Erlang takes a core for seconds to start.
    at_once: 3,
    protocol: Protocol::Amqp,
    ways: &[Way::Run {
        name: "ssl:clear_pem_cache()",
        command: &[
            "erl_call",
            "-address",
            "{address}:{peer_port}",
            "-c",
            "notafter",
            "-timeout",
            "5",
            "-a",
            "ssl clear_pem_cache",
        ],
    }],
};

const CONFIG: &str = "\
# `guest` may come from elsewhere: whoever comes shows a certificate.
loopback_users = none
listeners.tcp = none
listeners.ssl.default = {address}:{port}
ssl_options.certfile = {chain}
ssl_options.keyfile = {key}
ssl_options.cacertfile = {bundle}
ssl_options.verify = verify_peer
ssl_options.fail_if_no_peer_cert = true
log.file = false
log.console = true
log.console.level = info
";
