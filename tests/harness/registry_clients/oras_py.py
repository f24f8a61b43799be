"""oras-py, a library: the shell lines are short Python programs."""

from collections.abc import Sequence
from typing import ClassVar

from tests.harness.images import Image
from tests.harness.registry_clients.port import Outcome, RegistryClient
from tests.harness.workspace import Login

_LOGIN = 'client.auth.set_basic_auth(os.environ["NAME"], pathlib.Path("secret").read_text())'
_BEGIN = (
    "python - <<'END'",
    "import os, pathlib, oras.client",
    'client = oras.client.OrasClient(hostname=os.environ["REGISTRY"], insecure=True)',
    _LOGIN,
)
# After a refused password it asks again five times, for 131 seconds in all. Here it takes the first answer.
_HURRY = (
    "import oras.client, oras.provider\n"
    "oras.provider.Registry.do_request = oras.provider.Registry.do_request.__wrapped__\n"
)


class OrasPy(RegistryClient):
    """It pushes files, and keeps no login: each program reads the secret."""

    name: ClassVar = "oras-py"
    program: ClassVar = "python"
    fixture: ClassVar = "python"
    client_id: ClassVar = "oras-py"
    takes: ClassVar = "registry token"
    needs_held_grants: ClassVar = True
    sends_as_given: ClassVar = False
    push_lines: ClassVar = (
        *_BEGIN,
        'answer = client.push(target=os.environ["IMAGE"], files=["artifact.txt"])',
        'print(answer.headers["Docker-Content-Digest"])',
        "END",
    )
    pull_lines: ClassVar = (
        *_BEGIN,
        'client.pull(target=os.environ["IMAGE"], outdir="pulled")',
        'url = client.get_container(os.environ["IMAGE"]).manifest_url()',
        'print(client.do_request(f"{client.prefix}://{url}", "HEAD").headers["Docker-Content-Digest"])',
        "END",
    )

    _line = ""

    def log_in(self, login: Login) -> Outcome:
        self._line = _LOGIN
        return super().log_in(login)

    def log_out(self) -> Outcome:
        self._line = ""
        return super().log_out()

    def take_token(self, token: str) -> None:
        self._write("token", token)
        self._line = 'client.auth.set_token_auth(pathlib.Path("token").read_text())'

    def push(self, pushed: Image, image: str) -> Outcome:
        self._write("artifact.txt", pushed.digest)
        return self._ran(self.push_lines, image)

    def pull(self, image: str) -> Outcome:
        outcome = self._ran(self.pull_lines, image)
        sent = self.folder / "artifact.txt"
        if outcome.succeeded and sent.exists():
            # Its digest is what the registry told it, so the content is compared as well.
            assert (self.folder / "pulled" / "artifact.txt").read_text() == sent.read_text()
        return outcome

    def _ran(self, lines: Sequence[str], image: str) -> Outcome:
        self._write("sitecustomize.py", _HURRY)
        program = "\n".join(lines).replace(_LOGIN, self._line)
        outcome = self._run(program, IMAGE=image, PYTHONPATH=str(self.folder))
        return self._with_digest(outcome, outcome.output)
