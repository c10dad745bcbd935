"""`dhow serve --config FILE`, as an init system runs it: it serves, SIGTERM stops it, and the data
is there at the next start."""

import json
import random
import re
import signal
import subprocess
import time
import urllib.error
import urllib.request

from conftest import client_for
from dhow import BIN, Dhow
from fleet import free_ports


def ports_of_its_own():
    first = free_ports(random.Random())
    return {name: first + n for n, name in enumerate(("listen", "admin", "metrics"))}


def write_config(path, data, ports):
    """The default file with its own folder and addresses."""
    text = subprocess.run(
        [str(BIN), "config", "print-default"], capture_output=True, text=True, check=True
    ).stdout
    values = {"data": data, **{name: f"127.0.0.1:{port}" for name, port in ports.items()}}
    for name, value in values.items():
        text, count = re.subn(rf"(?m)^#?\s*{name} = .*$", f'{name} = "{value}"', text, count=1)
        assert count == 1, f"the default configuration has no {name}"
    path.write_text(text)
    subprocess.run([str(BIN), "config", "check", str(path)], check=True, capture_output=True)


def serve(config, server, log):
    process = subprocess.Popen([str(BIN), "serve", "--config", str(config)], stderr=log)
    deadline = time.monotonic() + 60
    while True:
        try:
            urllib.request.urlopen(server.endpoint, timeout=5)
        except urllib.error.HTTPError:
            return process  # anonymous is refused: it serves
        except OSError:
            assert process.poll() is None, "it ended at once"
            assert time.monotonic() < deadline, "it does not serve"
            time.sleep(0.05)  # only asking tells


def stop(process):
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 0, "SIGTERM is a clean stop"


def test_serves_from_a_file_and_keeps_the_data_over_a_restart(tmp_path):
    data, config = tmp_path / "data", tmp_path / "dhow.toml"
    ports = ports_of_its_own()
    write_config(config, data, ports)
    server = Dhow(data)
    server.endpoint, server.region = f"http://127.0.0.1:{ports['listen']}", "local-1"
    large = bytes(range(256)) * 4096
    with open(tmp_path / "log", "ab") as log:
        process = serve(config, server, log)
        try:
            keys = json.loads((data / "credentials.json").read_text())
            s3 = client_for(server, keys["access_key"], keys["secret_key"])
            s3.create_bucket(Bucket="from-a-file")
            s3.put_object(Bucket="from-a-file", Key="small", Body=b"small")
            s3.put_object(Bucket="from-a-file", Key="large", Body=large)
            stop(process)
            process = serve(config, server, log)
            listed = s3.list_objects_v2(Bucket="from-a-file")["Contents"]
            assert [o["Key"] for o in listed] == ["large", "small"]
            for key, body in (("small", b"small"), ("large", large)):
                assert s3.get_object(Bucket="from-a-file", Key=key)["Body"].read() == body
            stop(process)
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
