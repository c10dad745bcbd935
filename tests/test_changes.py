"""One tenant who creates and deletes buckets without end is told to wait. The audit log does not
grow without bound, and the operator goes on."""

import http.client
import json

from dhow import Client, Dhow
from test_serve import ports_of_its_own, serve, stop, write_config

BURST = 20


def test_a_loop_of_buckets_is_told_to_slow_down(tmp_path):
    data, config = tmp_path / "data", tmp_path / "dhow.toml"
    ports = ports_of_its_own()
    write_config(config, data, ports)
    text = config.read_text()
    assert "account_changes = 1000\naccount_changes_per_minute = 240\n" in text
    config.write_text(text.replace("account_changes = 1000\naccount_changes_per_minute = 240\n",
                                   f"account_changes = {BURST}\naccount_changes_per_minute = 1\n"))
    server = Dhow(data)
    server.endpoint, server.region = f"http://127.0.0.1:{ports['listen']}", "local-1"
    with open(tmp_path / "log", "ab") as log:
        process = serve(config, server, log)
        try:
            loop(server, data, f"127.0.0.1:{ports['listen']}")
            stop(process)
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()


def loop(server, data, host):
    root = json.loads((data / "credentials.json").read_text())
    tenant = server.cli_json("account", "create", "tenant", "--json")["id"]
    key = server.cli_json("key", "create", "--account", tenant, "--json")
    s3 = Client(host, "local-1", key["access_key"], key["secret_key"])
    before = len(server.cli_json("audit", "show", "--json"))
    made = 0
    while True:
        status, headers, body = s3.request("PUT", "/again")
        if status != 200:
            break
        made += 1
        assert made <= BURST, "nobody ended the loop"
        assert s3.request("DELETE", "/again")[0] == 204
    assert status == 503 and b"<Code>SlowDown</Code>" in body, body
    assert tenant.encode() in body and b"a minute" in body, body
    assert headers["retry-after"] == "1"
    assert made == BURST // 2
    for _ in range(50):
        assert s3.request("PUT", "/again")[0] == http.client.SERVICE_UNAVAILABLE
    assert len(server.cli_json("audit", "show", "--json")) == before + 2 * made
    # Objects are no changes of the registry, and the operator has a share of its own.
    owner = Client(host, "local-1", root["access_key"], root["secret_key"])
    for n in range(BURST):
        assert owner.request("PUT", f"/of-the-operator-{n}")[0] == 200
    server.cli("account", "suspend", tenant)
