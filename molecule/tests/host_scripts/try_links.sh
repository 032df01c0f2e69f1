# Ask another broker for an answer as a node with its cookie: as a broker does, and in three ways that it must refuse.
# Usage: try_links.sh NODE      (as root on a broker)
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
authority=/etc/ssl/warren/ca.crt
# Signed by itself, and so by nobody whom brokers trust.
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 9 -subj /CN=w1 \
    -keyout "$work/own.key" -out "$work/own.crt" 2>/dev/null

try() {
    name=$1
    shift
    said=$(HOME=/var/lib/rabbitmq timeout 30 erl -noinput -boot no_dot_erlang -hidden -sname "try$$" "$@" \
        -eval "io:format(\"~p\", [net_adm:ping('$node')]), halt()." 2>/dev/null) || true
    echo "$name: $said"
}

options() {
    echo "[{server, []}, {client, [{cacertfile, \"$authority\"}, {verify, verify_peer}$1]}]." >"$work/options"
}

node=$1
try "a broker" -proto_dist inet_tls -ssl_dist_optfile /etc/rabbitmq/inter_node_tls.config
try "without TLS"
options ""
try "without a certificate" -proto_dist inet_tls -ssl_dist_optfile "$work/options"
options ", {certfile, \"$work/own.crt\"}, {keyfile, \"$work/own.key\"}"
try "another authority's" -proto_dist inet_tls -ssl_dist_optfile "$work/options"
