"""Attacks on the server: nothing is let out, memory stays bounded, and it goes on answering."""

from __future__ import annotations

import concurrent.futures
import http.client
import io
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import numpy as np
import psutil
import pytest
from PIL import Image
from serve.server import Client, running

from jaxret.data.decode.video import VideoReader
from jaxret.data.decode.write import write_video
from jaxret.errors import ConfigError, MediaError
from jaxret.serve.library import item_id
from jaxret.serve.limits import Limits
from jaxret.serve.listening import bound_socket

SECRET = b"what nobody may read"


@pytest.fixture
def beside(made: Path) -> Iterator[Path]:
    """A file outside of the media root and of all indexes, and a link to it inside."""
    secret = made.parent / "secret.mp4"
    secret.write_bytes(SECRET)
    links = [made / "link.mp4", made / "folder-link"]
    links[0].symlink_to(secret)
    links[1].symlink_to(made.parent)
    yield secret
    for path in (*links, secret):
        path.unlink()


@pytest.mark.parametrize(
    "path",
    [
        "../secret.mp4",
        "media/../../secret.mp4",
        "link.mp4",
        "folder-link/secret.mp4",
        "..\\secret.mp4",
        "secret.mp4\0.png",
        "%2e%2e/secret.mp4",
        "/etc/passwd",
        "\ud800",
    ],
)
def test_no_path_leads_out_of_the_media_root(path: str, beside: Path, client: Client) -> None:
    for answer in (
        client.search("clips", {"path": path}).json["error"],
        client.post("/api/indexing", {"index": "clips", "folder": path}).json["error"],
        client.get(f"/api/folders?path={quote(path, errors='surrogatepass')}").json["error"],
    ):
        assert "media root" in answer
        assert "secret.mp4" not in answer or "secret.mp4" in path
    absolute = client.search("clips", {"path": str(beside)}).json["error"]
    assert "leads out of the media root" in absolute


@pytest.mark.parametrize(
    "address",
    [
        "/../secret.mp4",
        "/..%2fsecret.mp4",
        "/%2e%2e/%2e%2e/app.py",
        "/..%5capp.py",
        "/%252e%252e/app.py",
        "//etc/passwd",
        "/api/media/clips/..%2f..%2fsecret.mp4",
        "/api/media/..%2fclips/x",
        "/api/media/clips/" + item_id("../secret.mp4"),
        "/api/uploads/..%2fx/media",
        "/api/thumbnails/clips/" + item_id("/etc/passwd"),
        "/app.py",
        "/.git/config",
    ],
)
def test_no_address_leads_out_of_the_page(address: str, beside: Path, client: Client) -> None:
    answer = client.get(address)
    assert answer.status in (400, 404)
    assert SECRET not in answer.body
    assert b"Starlette" not in answer.body


def test_an_item_that_became_a_link_is_not_followed(made: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(made, tmp_path / "made", symlinks=True))
    from jaxret.index import MediaIndex

    MediaIndex.open(copy / "runs" / "clips" / "index").relocate(copy / "media")
    (tmp_path / "secret.mp4").write_bytes(SECRET)
    with running([copy / "runs" / "clips"]) as client:
        place = copy / "media" / "left" / "l0.mp4"
        address = f"/api/media/clips/{item_id('left/l0.mp4')}"
        assert client.get(address).status == 200
        place.unlink()
        assert client.get(address).status == 422
        place.symlink_to(tmp_path / "secret.mp4")
        answer = client.get(address)
        assert (answer.status, answer.json["error"]) == (
            422,
            "l0.mp4: the file is a link to another place than was indexed",
        )
        place.unlink()
        os.mkfifo(place)
        assert client.get(address).status == 422  # and does not wait for a writer


@pytest.mark.parametrize("host", ["evil.example", "evil.example:80", "127.0.0.1.evil.example", "8.8.8.8", "", "a b"])
def test_a_rebound_name_is_refused(host: str, client: Client) -> None:
    answer = client.get("/api/indexes", Host=host)
    assert answer.status == 421 if host else answer.status in (400, 421)


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:8000", "127.0.0.1:1", "127.0.0.7", "[::1]", "[::1]:8000"])
def test_the_names_of_this_machine_are_ours(host: str, client: Client) -> None:
    assert client.get("/api/indexes", Host=host).status == 200
    assert client.get("/api/indexes", Host=host, Origin=f"http://{host}").status == 200


def test_a_server_with_tls_before_it_has_another_name(made: Path) -> None:
    token = "a-token-of-many-letters"
    with running([made / "runs" / "clips"], name="films.example", token=token) as client:
        told = {"Host": "films.example", "Authorization": f"Bearer {token}", "Origin": "https://films.example"}
        assert client.get("/api/indexes", **told, **{"X-Forwarded-Proto": "https"}).status == 200
        assert client.get("/api/indexes", **told).status == 403
        assert client.get("/api/indexes", Host="films.example").status == 401
        assert client.get("/api/indexes", Host="other.example").status == 421


def test_two_hosts_are_refused(client: Client) -> None:
    with socket.create_connection(("127.0.0.1", client.port)) as connection:
        connection.sendall(b"GET /api/indexes HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n\r\n")
        assert connection.recv(64).split()[1] in (b"400", b"421")


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "https://127.0.0.1"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"},
    ],
)
def test_other_pages_are_refused(headers: dict[str, str], client: Client) -> None:
    assert client.send("POST", "/api/uploads?name=a.png", b"x", headers).status == 403
    assert client.get("/api/indexes", **headers).status == 403


def test_our_own_page_is_answered(client: Client) -> None:
    own = {"Origin": f"http://127.0.0.1:{client.port}", "Sec-Fetch-Site": "same-origin"}
    assert client.get("/api/indexes", **own).status == 200
    visit = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
    page = client.get("/", **visit)  # a link from elsewhere to the page
    assert page.status == 200
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    for name, value in (("x-content-type-options", "nosniff"), ("cross-origin-resource-policy", "same-origin")):
        assert page.headers[name] == value
    assert not re.search(rb"<script(?![^>]*\bsrc=)|<style|\son\w+=|\sstyle=|https?://(?!127)", page.body)


def test_another_address_needs_the_token(made: Path) -> None:
    token = "a-token-of-many-letters"
    with running([made / "runs" / "clips"], token=token) as client:
        assert client.get("/api/indexes").status == 401
        assert client.get("/api/indexes?token=" + token).status == 401  # addresses are kept in histories
        assert client.get("/?token=wrong").status == 401
        assert client.get("/api/indexes", Authorization="Bearer wrong").status == 401
        assert client.get("/api/indexes", Cookie="jaxret-token=\xff; a").status == 401
        assert client.get("/api/indexes", Authorization=f"Bearer {token}").status == 200
        visit = client.get(f"/?token={token}")
        assert (visit.status, visit.headers["location"]) == (303, "/")
        cookie = visit.headers["set-cookie"]
        assert "HttpOnly" in cookie
        assert "samesite=strict" in cookie.lower()
        assert client.get("/api/indexes", Cookie=cookie.split(";")[0]).status == 200


def _png_of(width: int, height: int) -> bytes:
    """A small file that claims many pixels."""
    buffer = io.BytesIO()
    Image.new("1", (width, height)).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("name", "data", "status", "message"),
    [
        ("a.png", b"", 400, "the file is empty"),
        ("a.png", b"\x89PNG\r\n\x1a\nnot one", 422, "a.png: "),
        ("a.mp4", b"\0\0\0\x20ftypisom" + b"\0" * 500, 422, "a.mp4: "),
        ("a.html", b"<script>alert(1)</script>", 422, "neither an image nor a video"),
        ("../../a.png", b"nothing", 422, "a.png: not an image"),
        ("a.svg", b"<svg xmlns='http://www.w3.org/2000/svg'><script/></svg>", 422, "neither an image nor a video"),
        ("bomb.png", _png_of(9000, 9000), 413, "9000 x 9000 pixels are above 50 megapixels"),
        ("bomb.png", _png_of(12000, 12000), 422, "bomb.png: "),
    ],
)
def test_false_uploads_are_answered(name: str, data: bytes, status: int, message: str, client: Client) -> None:
    before = set(client.parts.folder.iterdir())
    answer = client.send("POST", f"/api/uploads?name={name}", data)
    assert (answer.status, message in answer.json["error"]) == (status, True), answer
    assert str(client.parts.folder) not in answer.json["error"]
    assert set(client.parts.folder.iterdir()) == before


@pytest.mark.parametrize(
    ("kind", "body", "message"),
    [
        ("multipart/form-data", b"", "the form has no boundary"),
        ("multipart/form-data; boundary=x", b"", "holds no field file"),
        ("multipart/form-data; boundary=x", b"no form", "the form is malformed"),
        ("multipart/form-data; boundary=x", b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\nb\r\n--x--\r\n',
         "holds no field file"),
        ("multipart/form-data; boundary=x", b'--x\r\nContent-Disposition: form-data; filename="a.png"\r\n\r\nbytes',
         "the form ends in the middle of the file"),
        ("multipart/form-data; boundary=x", b"--x\r\nA: " + b"b" * 40_000, "header"),
    ],
)  # fmt: skip
def test_malformed_forms_are_answered(kind: str, body: bytes, message: str, client: Client) -> None:
    answer = client.send("POST", "/api/uploads", body, {"Content-Type": kind})
    assert (answer.status, message in answer.json["error"]) == (400, True), answer


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        (b"{", "application/json", 400),
        (b"[" * 100_000, "application/json", 400),
        (b'{"index": NaN}', "application/json", 400),
        (b"x" * (2 << 20), "application/json", 413),
        (b"index=clips", "application/x-www-form-urlencoded", 415),
        (b'{"index": "clips"}', "text/plain", 415),
    ],
)
def test_false_bodies_are_answered(body: bytes, kind: str, status: int, client: Client) -> None:
    answer = client.send("POST", "/api/searches", body, {"Content-Type": kind})
    assert answer.status == status
    assert answer.json["error"]


def test_playlists_under_the_name_of_a_film_open_no_other_file(client: Client, made: Path, tmp_path: Path) -> None:
    write_video(tmp_path / "secret.mp4", np.full((5, 32, 32, 3), 200, np.uint8), 5)
    concat = b"ffconcat version 1.0\nfile secret.mp4\n"
    hls = f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1.0,\n{tmp_path}/secret.mp4\n#EXT-X-ENDLIST\n".encode()
    for data in (concat, hls):
        for ending in ("mp4", "mkv", "ts"):
            (tmp_path / f"list.{ending}").write_bytes(data)
            with pytest.raises(MediaError, match="Invalid"):
                VideoReader(tmp_path / f"list.{ending}")
            assert client.upload(tmp_path / f"list.{ending}").status == 422


def test_uploads_are_bounded_in_bytes_and_number(made: Path) -> None:
    limits = Limits(upload_bytes=100_000, uploads=3, upload_seconds=1.5)
    picture = (made / "frame.png").read_bytes()
    with running([made / "runs" / "clips"], limits=limits) as client:
        assert client.send("POST", "/api/uploads?name=a.png", b"x" * 100_001).status == 413
        with socket.create_connection(("127.0.0.1", client.port)) as raw:
            raw.sendall(
                b"POST /api/uploads?name=a.png HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
            )
            raw.settimeout(10)
            try:
                for _ in range(10_000):
                    raw.sendall(b"2710\r\n" + b"x" * 10_000 + b"\r\n")
            except OSError:
                pass  # it was closed
            else:
                pytest.fail("an endless upload was taken")
        assert client.upload(made / "query.mp4").json["error"] == "it lasts longer than 0.025 minutes"
        ids = [client.send("POST", "/api/uploads?name=a.png", picture).json["upload"] for _ in range(4)]
        assert [client.get(f"/api/uploads/{id}").status for id in ids] == [404, 200, 200, 200]
        assert len([path for path in client.parts.folder.iterdir() if path.suffix == ".png"]) == 3


def test_slow_clients_hold_nothing_up(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jaxret.serve.listening._SILENCE", 0.5)
    with running([made / "runs" / "clips"], limits=Limits(upload_pause=0.5)) as client:
        silent = [socket.create_connection(("127.0.0.1", client.port)) for _ in range(50)]
        half = [socket.create_connection(("127.0.0.1", client.port)) for _ in range(50)]
        for connection in half:
            connection.sendall(b"GET /api/indexes HTTP/1.1\r\nHost: loc")
        stuck = socket.create_connection(("127.0.0.1", client.port))
        stuck.sendall(b"POST /api/uploads?name=a.png HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\nabc")
        assert client.get("/api/indexes").status == 200
        stuck.settimeout(10)
        assert stuck.recv(64).split()[1] == b"408"
        for connection in (*silent, *half):
            connection.settimeout(10)
            assert connection.recv(64) == b""  # closed
        for connection in (*silent, *half, stuck):
            connection.close()
        assert [path for path in client.parts.folder.iterdir() if path.suffix == ".png"] == []


def test_two_hundred_at_once_wait_in_a_bounded_line(made: Path) -> None:
    with running([made / "runs" / "clips"], made, limits=Limits(waiting=20)) as client:
        client.search("clips", {"path": "query.mp4"})
        memory = psutil.Process().memory_info().rss
        with concurrent.futures.ThreadPoolExecutor(200) as pool:
            # Each a query of its own, so that none is remembered.
            searches = [
                pool.submit(client.search, "clips", {"path": "query.mp4", "at": 0.001 * number})
                for number in range(200)
            ]
            begun = time.perf_counter()
            assert client.get("/api/openapi.json").status == 200
            assert time.perf_counter() - begun < 10
            answers = [search.result() for search in searches]
        statuses = [answer.status for answer in answers]
        assert set(statuses) <= {200, 503}
        assert statuses.count(200) >= 20
        assert all(answer.json["state"] == "done" for answer in answers if answer.status == 200)
        assert all("waiting already" in answer.json["error"] for answer in answers if answer.status == 503)
        assert psutil.Process().memory_info().rss - memory < 300 << 20
        assert client.search("clips", {"path": "query.mp4"}).json["state"] == "done"


def test_a_waiting_search_is_cancelled_and_those_behind_it_move_up(made: Path) -> None:
    with running([made / "runs" / "clips"], made) as client:
        held, begun = threading.Event(), threading.Event()

        def hold() -> None:
            begun.set()
            held.wait(20)

        workers = client.parts.searches.workers
        from jaxret.serve.workers import Task

        task: Task[None] = Task.__new__(Task)
        task.run = hold  # type: ignore[method-assign]
        with workers._ready:
            workers._line.append(task)
            workers._ready.notify()
        begun.wait(20)
        request = {"index": "clips", "query": {"path": "query.mp4"}}
        names = [client.post("/api/searches", request).json["search"] for _ in range(3)]
        assert [client.get(f"/api/searches/{name}").json["position"] for name in names] == [0, 1, 2]
        assert client.send("DELETE", f"/api/searches/{names[0]}").json["state"] == "cancelled"
        assert [client.get(f"/api/searches/{name}").json["position"] for name in names[1:]] == [0, 1]
        held.set()
        for name in names[1:]:
            assert b'"done"' in client.get(f"/api/searches/{name}/events").body
        assert client.get(f"/api/searches/{names[0]}").json["state"] == "cancelled"


def test_names_are_sent_as_data(made: Path, tmp_path: Path) -> None:
    """A file name that is HTML comes back in JSON alone, and a formula is no formula in a table."""
    media = tmp_path / "root"
    media.mkdir()
    shutil.copy(made / "frame.png", media / "=cmd()<img src=x onerror=alert(1)>.png")
    shutil.copytree(made / "runs" / "clips", tmp_path / "clips")
    with running([tmp_path / "clips"], media) as client:
        job = client.post("/api/indexing", {"index": "clips", "folder": ""}).json["job"]
        client.get(f"/api/jobs/{job}/events")
        answer = client.search("clips", {"path": "=cmd()<img src=x onerror=alert(1)>.png"}, k=1)
        assert answer.headers["content-type"] == "application/json"
        assert "<img" not in answer.json["hits"][0]["media"]
        request = {"search": answer.json["search"], "format": "csv"}
        assert "'=cmd()" in client.post("/api/exports", request).body.decode()
        missing = client.get("/<script>alert(1)</script>")
        assert (missing.status, missing.headers["content-type"]) == (404, "application/json")


@pytest.mark.parametrize("kind", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)])
def test_ctrl_c_ends_it_at_once_and_cleanly(kind: signal.Signals, made: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "jaxret", "serve", str(made / "runs" / "clips"), "--port", "0"]
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    ) as server:
        assert server.stdout is not None
        address = server.stdout.readline().strip()
        port = int(address.rsplit(":", 1)[1].strip("/"))
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except OSError:
                time.sleep(0.05)
        connection = http.client.HTTPConnection("127.0.0.1", port)
        connection.request("GET", "/api/indexes")
        assert connection.getresponse().read()
        connection.close()
        assert [path.name for path in tmp_path.iterdir() if path.name.startswith("jaxret-serve-")]
        idle = socket.create_connection(("127.0.0.1", port))  # a client that stays
        begun = time.perf_counter()
        server.send_signal(kind)
        _, error = server.communicate(timeout=20)
        assert time.perf_counter() - begun < 10
        idle.close()
        assert "Traceback" not in error
        assert server.returncode == (0 if kind == signal.SIGINT else -kind)
        assert not [path.name for path in tmp_path.iterdir() if path.name.startswith("jaxret-serve-")]


def test_an_address_that_is_taken_is_named() -> None:
    with bound_socket("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(
            ConfigError, match=f"--host 127.0.0.1 --port {port}: .* in use.*; --port 0 takes a free one"
        ):
            bound_socket("127.0.0.1", port)
    with pytest.raises(ConfigError, match=r"--host 203\.0\.113\.7 --port 0: "):
        bound_socket("203.0.113.7", 0)  # an address that no machine has
