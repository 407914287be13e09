"""One visitor of a lab that is served: a client that speaks Streamlit's own websocket, without a browser.

It does what the page in a browser does: it sends the state of its widgets, runs fragments again as often as the server
asks it to, reads every message, uploads files and fetches downloads.
"""

import asyncio
import random
import re
import secrets
import time
import urllib.request
import uuid
from collections import Counter
from dataclasses import dataclass, field

from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from streamlit.proto.WidgetStates_pb2 import WidgetState
from websockets.asyncio.client import connect

PATIENCE = 60.0
"""Seconds after which an answer that has not come is an error."""
COLD = 240.0
"""The same for the first visitor of a new server, who waits for torch."""
LONGEST_TRAINING = 600.0
"""Seconds after which a training that has not ended never will."""
WHOLE = tuple(map(ForwardMsg.ScriptFinishedStatus.Value, ("FINISHED_SUCCESSFULLY", "FINISHED_WITH_COMPILE_ERROR")))
"""A fragment's end is no answer, and neither is the end of a run that begins anew at once."""
VISITOR_COOKIE, XSRF_COOKIE = "consistency_lab_visitor", "_streamlit_xsrf"
ENDS = ("Finished", "Stopped", "Diverged", "could not go on")
"""Words of a training that is over."""


@dataclass
class Training:
    """What became of a training: how it ended, the places in the queue, and seconds of waiting and in all."""

    end: str = ""
    places: set[int] = field(default_factory=set)
    wait: float = 0.0
    seconds: float = 0.0


@dataclass
class Tally:
    """What all clients saw."""

    explored: list[float] = field(default_factory=list)
    errors: Counter = field(default_factory=Counter)
    trainings: list[Training] = field(default_factory=list)
    actions: int = 0


class Visitor:
    """One tab: its websocket, its widgets, its fragments, and what it shows.

    Args:
        address: of the server, `http://…`.
        tally: where errors are counted.
        seed: of what the visitor chooses.
        token: by which the server knows its visitor; empty: a new one.
    """

    def __init__(self, address: str, tally: Tally, seed: int = 0, *, token: str = "") -> None:
        self.address, self.tally, self.chance = address, tally, random.Random(seed)
        self.token = token or secrets.token_urlsafe(32)
        self.session = ""
        self.pages: dict[str, str] = {}
        self.page = ""
        self.states: dict[str, WidgetState] = {}
        self.widgets: dict[str, object] = {}
        self.components: dict[str, object] = {}
        self.downloads: dict[str, object] = {}
        self.shown: dict[tuple, str] = {}
        self.alerts: dict[tuple, str] = {}
        self.timers: dict[str, asyncio.Task] = {}
        self.finished = asyncio.Event()
        self.answers: dict[str, asyncio.Future] = {}
        self.lost = ""

    async def __aenter__(self) -> "Visitor":
        self.socket = await connect(
            self.address.replace("http", "ws") + "/_stcore/stream",
            subprotocols=["streamlit"],
            max_size=64 << 20,
            additional_headers={"Cookie": f"{VISITOR_COOKIE}={self.token}"},
        )
        self.reader = asyncio.create_task(self._read())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._stop_timers()
        self.reader.cancel()
        await self.socket.close()

    # ---- what comes -------------------------------------------------------------------------------------------------
    async def _read(self) -> None:
        try:
            async for data in self.socket:
                message = ForwardMsg.FromString(data)
                kind = message.WhichOneof("type")
                if kind == "new_session":
                    self._begin(message)
                else:
                    self._take(message, kind)
        except Exception as error:  # noqa: BLE001  a lost connection is counted like any other failure
            self.lost = f"{type(error).__name__}: {error}"
            self.tally.errors[f"connection: {self.lost}"[:160]] += 1
        self.lost = self.lost or "closed"
        self.finished.set()

    def _take(self, message: ForwardMsg, kind: str | None) -> None:
        if kind == "navigation":
            self.pages = {page.url_pathname: page.page_script_hash for page in message.navigation.app_pages}
            self.page = message.navigation.page_script_hash
        elif kind == "auto_rerun":
            timer = message.auto_rerun
            if timer.fragment_id not in self.timers:
                self.timers[timer.fragment_id] = asyncio.create_task(self._repeat(timer.fragment_id, timer.interval))
        elif kind == "stop_auto_rerun":
            for fragment in message.stop_auto_rerun.fragment_ids:
                if timer := self.timers.pop(fragment, None):
                    timer.cancel()
        elif kind == "delta" and message.delta.WhichOneof("type") == "new_element":
            self._element(tuple(message.metadata.delta_path), message.delta.new_element)
        elif kind == "script_finished" and message.script_finished in WHOLE:
            self.finished.set()
        elif kind == "session_event" and message.session_event.WhichOneof("type") == "script_compilation_exception":
            self.tally.errors["the script does not compile"] += 1
        elif kind in ("file_urls_response", "backend_operation_response"):
            self._answer(getattr(message, kind))

    def _begin(self, message: ForwardMsg) -> None:
        """The page is drawn from its top, or one fragment of it."""
        self.session = message.new_session.initialize.session_id or self.session
        if message.metadata.run.fragment_ids:
            return
        self._stop_timers()
        for part in (self.widgets, self.components, self.downloads, self.shown, self.alerts):
            part.clear()

    def _answer(self, answer: object) -> None:
        request = getattr(answer, "response_id", "") or getattr(answer, "request_id", "")
        if (future := self.answers.pop(request, None)) and not future.done():
            future.set_result(answer)

    def _element(self, path: tuple, element: object) -> None:
        kind = element.WhichOneof("type")
        content = getattr(element, kind) if kind else None
        self.alerts.pop(path, None)
        if kind == "exception":
            self.tally.errors[f"{content.type}: {content.message[:120]}"] += 1
        elif kind in ("html", "markdown", "alert", "progress"):
            self.shown[path] = getattr(content, "body", "") or getattr(content, "text", "")
        if kind == "alert":
            self.alerts[path] = content.body
        elif kind == "download_button":
            self.downloads[content.id] = content
        elif kind == "bidi_component":
            self.components[content.id] = content
        if (label := getattr(content, "label", "")) and getattr(content, "id", ""):
            self.widgets[label] = content

    def _stop_timers(self) -> None:
        for timer in self.timers.values():
            timer.cancel()
        self.timers.clear()

    async def _repeat(self, fragment: str, interval: float) -> None:
        while True:
            await asyncio.sleep(interval)
            await self.rerun(fragment_id=fragment, is_auto_rerun=True)

    # ---- what is done -----------------------------------------------------------------------------------------------
    async def send(self, message: BackMsg) -> int:
        """Send any message of the protocol; its bytes."""
        data = message.SerializeToString()
        await self.socket.send(data)
        return len(data)

    async def rerun(self, **how: object) -> int:
        """Ask for a run of the page with the widgets as they are; bytes."""
        message = BackMsg()
        message.rerun_script.page_script_hash = self.page
        for name, value in how.items():
            setattr(message.rerun_script, name, value)
        message.rerun_script.widget_states.widgets.extend(self.states.values())
        return await self.send(message)

    async def act(self, *, patience: float = PATIENCE, **how: object) -> float:
        """Ask for a run of the page and wait for its end; seconds."""
        self.finished.clear()
        self.tally.actions += 1
        start = time.monotonic()
        await self.rerun(**how)
        try:
            await asyncio.wait_for(self.finished.wait(), patience)
        except TimeoutError:
            self.tally.errors[f"no answer within {patience:.0f} s"] += 1
        for name in [name for name, state in self.states.items() if state.HasField("trigger_value")]:
            del self.states[name]
        return time.monotonic() - start

    async def open(self, page: str, **how: object) -> float:
        """Go to a page by its path; "" is the first."""
        if page and page not in self.pages:
            self.tally.errors[f"there is no page {page}"] += 1
            return 0.0
        self.page = self.pages.get(page, "")
        return await self.act(**how)

    def set(self, label: str, **value: object) -> bool:
        """Give a widget a value; False where the page does not show it."""
        widget = self.widgets.get(label)
        if widget is None:
            return False
        state = WidgetState(id=widget.id)
        for name, content in value.items():
            if isinstance(content, list):
                getattr(state, name).data.extend(content)
            else:
                setattr(state, name, content)
        self.states[widget.id] = state
        return True

    async def press(self, *labels: str) -> bool:
        """Press the first of these buttons that the page shows; False where it shows none."""
        pressed = any(self.set(label, trigger_value=True) for label in labels)
        if pressed:
            await self.act()
        return pressed

    # ---- files ------------------------------------------------------------------------------------------------------
    async def upload(self, label: str, name: str, content: bytes, *, patience: float = PATIENCE) -> int:
        """Put a file into an uploader and let the page see it; the status, 0 where there is no uploader."""
        uploader = self.widgets.get(label)
        if uploader is None:
            return 0
        (urls,) = (await self.file_urls([name])).file_urls
        status = await asyncio.to_thread(self.put, urls.upload_url, name, content)
        if status in (200, 204):
            state = WidgetState(id=uploader.id)
            uploaded = state.file_uploader_state_value.uploaded_file_info.add(name=name, size=len(content))
            uploaded.file_id = urls.file_id
            uploaded.file_urls.CopyFrom(urls)
            self.states[uploader.id] = state
            await self.act(patience=patience)
        return status

    async def file_urls(self, names: list[str]) -> object:
        """Where files of these names may be put."""
        message = BackMsg()
        message.file_urls_request.request_id = str(uuid.uuid4())
        message.file_urls_request.session_id = self.session
        message.file_urls_request.file_names.extend(names)
        return await self._asked(message, message.file_urls_request.request_id)

    def put(self, url: str, name: str, content: bytes) -> int:
        """Put a file to an address of this session; the status."""
        boundary = uuid.uuid4().hex
        quoted = re.sub(r'["\r\n]', lambda found: f"%{ord(found[0]):02X}", name)
        head = f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="{quoted}"\r\n\r\n'
        body = head.encode() + content + f"\r\n--{boundary}--\r\n".encode()
        request = urllib.request.Request(f"{self.address}{url}", body, self.upload_headers(boundary), method="PUT")
        try:
            with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
                return answer.status
        except urllib.error.HTTPError as refused:
            return refused.code

    def upload_headers(self, boundary: str) -> dict[str, str]:
        """The headers by which Streamlit takes a file from its own page."""
        with urllib.request.urlopen(f"{self.address}/_stcore/health", timeout=PATIENCE) as answer:
            given = re.search(rf"{XSRF_COOKIE}=([^;]+)", answer.headers.get("Set-Cookie", ""))
        xsrf = given[1].strip('"') if given else ""
        return {
            "Content-Type": f"multipart/form-data; boundary={boundary}",
            "Cookie": f"{XSRF_COOKIE}={xsrf}; {VISITOR_COOKIE}={self.token}",
            "X-Xsrftoken": xsrf,
        }

    async def download(self, button: object) -> bytes:
        """What a download button gives, made now where it is made when pressed."""
        url = button.url
        if button.deferred_file_id:
            message = BackMsg()
            operation = message.backend_operation_request
            operation.request_id, operation.session_id = str(uuid.uuid4()), self.session
            operation.deferred_file.file_id = button.deferred_file_id
            url = (await self._asked(message, operation.request_id)).deferred_file.url

        def fetch() -> bytes:
            with urllib.request.urlopen(f"{self.address}{url}", timeout=PATIENCE) as answer:
                return answer.read()

        return await asyncio.to_thread(fetch)

    async def _asked(self, message: BackMsg, request: str) -> object:
        self.answers[request] = asyncio.get_running_loop().create_future()
        await self.send(message)
        return await asyncio.wait_for(self.answers[request], PATIENCE)

    # ---- a training -------------------------------------------------------------------------------------------------
    async def train(self, budget: str) -> Training | None:
        """Start a training on the page Train, where it can be started, and watch it to its end."""
        self.set("Budget", string_array_value=[budget])
        await self.act()
        if not any(self.set(label, trigger_value=True) for label in ("Start training", "Train again")):
            return None
        began, training = time.monotonic(), Training()
        self.tally.trainings.append(training)
        await self.act()
        while not training.end and time.monotonic() - began < LONGEST_TRAINING and not self.lost:
            await asyncio.sleep(0.3)
            self._look(training, time.monotonic() - began)
        training.end = training.end or "never ended"
        training.seconds = time.monotonic() - began
        return training

    def _look(self, training: Training, passed: float) -> None:
        """What the page says of a training now."""
        words = self.text
        if place := re.search(r"Place (\d+)", words):
            training.places.add(int(place[1]))
            training.wait = passed
        if "queue is full" in words:
            training.end = "refused"
        for end in ENDS:
            if re.search(rf"\b{end}\b", words) and passed > 1:
                training.end = end

    @property
    def text(self) -> str:
        """All words on the page."""
        return re.sub(r"<[^>]+>", " ", " ".join(self.shown.values()))
