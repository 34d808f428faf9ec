"""A program that traces a generation with Basalt's SDK 1, as the SDK's documentation shows. It prints the output.

It sets nothing about telemetry itself: its environment decides. Arguments: an API key, and a file. Every address that
a Python socket resolves or connects to is added to the file until the interpreter ends; only loopback is allowed.
"""

import json
import os
import sys

OUTGOING = {"socket.connect", "socket.sendto", "socket.sendmsg", "socket.getaddrinfo", "socket.gethostbyname"}
addresses = os.open(sys.argv[2], os.O_WRONLY | os.O_CREAT | os.O_APPEND)


def record(event, arguments):
    if event not in OUTGOING:
        return
    host, port = arguments[:2] if event == "socket.getaddrinfo" else (*arguments[-1], None)[:2]
    os.write(addresses, f"{host}:{port}\n".encode())
    if host not in ("127.0.0.1", "localhost"):
        raise OSError(f"the test allows no connection to {host}")


sys.addaudithook(record)

from basalt import Basalt  # noqa: E402
from basalt.observability import observe, start_observe  # noqa: E402

basalt = Basalt(api_key=sys.argv[1])


@observe(kind="generation", name="answer")
def generate(text):
    observe.set_input(text)
    observe.set_output("A secret answer")
    return "A secret answer"


@start_observe(feature_slug="support", name="a run", identity={"user": {"id": "u1", "name": "John"}})
def answer(question):
    with basalt.prompts.get_sync("bots/qa", variables={"question": question}) as prompt:
        output = generate(prompt.text)
    observe.set_output(output)
    return output


print(json.dumps({"output": answer("Why?")}))
basalt.shutdown()
