"""A small client of the Kubernetes API, with nothing but Python's own library.

Suites with many cases look at many objects many times: a `kubectl` for each would cost more than what is measured.
"""

from __future__ import annotations

import http.client
import json
import ssl
import subprocess
import threading
import time
import urllib.parse
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

Object = dict[str, Any]

# How long one request may take, in seconds; a watch is asked anew after WATCH.
TIMEOUT = 30
WATCH = 240


class ApiError(RuntimeError):
    """The API server's refusal."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(f"{code}: {text}")
        self.code = code


@dataclass(frozen=True)
class Resource:
    """A kind that the API serves, and the path of its collection."""

    base: str
    plural: str
    namespaced: bool

    def path(self, namespace: str | None = None, name: str | None = None, sub: str | None = None) -> str:
        """The path of a collection, an object or a subresource."""
        parts = [self.base]
        if self.namespaced and namespace:
            parts += ["namespaces", namespace]
        return "/".join(part for part in (*parts, self.plural, name, sub) if part)


class Kube:
    """Requests as the user of a kubeconfig. May be used by many threads: each has a connection of its own."""

    def __init__(self, kubeconfig: Path) -> None:
        view = subprocess.run(
            ["kubectl", "--kubeconfig", str(kubeconfig), "config", "view", "--raw", "-o", "json"],
            check=True, capture_output=True, text=True,
        )
        config = json.loads(view.stdout)
        cluster, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
        self.server = urllib.parse.urlsplit(cluster["server"])
        self.tls = ssl.create_default_context(cafile=cluster["certificate-authority"])
        self.tls.load_cert_chain(user["client-certificate"], user["client-key"])
        self.local = threading.local()
        self.resources: dict[tuple[str, str], Resource] = {}

    def _connection(self, timeout: float) -> http.client.HTTPSConnection:
        assert self.server.hostname
        return http.client.HTTPSConnection(self.server.hostname, self.server.port, timeout=timeout, context=self.tls)

    def request(self, method: str, path: str, body: Any = None, content_type: str = "application/json") -> Any:
        """One request; a server that asks for patience (a new CRD's storage does) gets some."""
        data = None if body is None else json.dumps(body)
        for patience in (1, 1, 2, 4, 0):
            status, text = self._exchange(method, path, data, content_type)
            if status not in (429, 503) or not patience:
                break
            time.sleep(patience)
        content = json.loads(text) if text.startswith("{") else text
        if status >= 400:
            raise ApiError(status, content["message"] if isinstance(content, dict) else content)
        return content

    def _exchange(self, method: str, path: str, data: str | None, content_type: str) -> tuple[int, str]:
        """Sends a request; a connection that the server has closed meanwhile is opened again, once."""
        kept = getattr(self.local, "connection", None)
        for connection in filter(None, (kept, self._connection(TIMEOUT))):
            self.local.connection = connection
            try:
                connection.request(method, path, data, {"Content-Type": content_type, "Accept": "application/json"})
                response = connection.getresponse()
                return response.status, response.read().decode()
            except (http.client.HTTPException, OSError):
                connection.close()
                self.local.connection = None
                if connection is not kept:
                    raise
        raise AssertionError("a new connection answers or raises")

    def resource(self, api_version: str, kind: str) -> Resource:
        """Where objects of a kind are; asked of the server once."""
        key = api_version, kind
        if key not in self.resources:
            base = f"/apis/{api_version}" if "/" in api_version else f"/api/{api_version}"
            for served in self.request("GET", base)["resources"]:
                if "/" not in served["name"]:
                    self.resources[api_version, served["kind"]] = Resource(base, served["name"], served["namespaced"])
        return self.resources[key]

    def _path(self, obj: Object) -> str:
        resource = self.resource(obj["apiVersion"], obj["kind"])
        return resource.path(obj["metadata"].get("namespace"), obj["metadata"]["name"])

    def apply(self, *objects: Object, manager: str = "e2e") -> None:
        """Server-side apply, as a GitOps tool does it."""
        for obj in objects:
            query = f"?fieldManager={manager}&force=true"
            self.request("PATCH", self._path(obj) + query, obj, "application/apply-patch+yaml")

    def get(self, api_version: str, kind: str, namespace: str | None, name: str) -> Object:
        """An object; ApiError 404 when there is none."""
        found: Object = self.request("GET", self.resource(api_version, kind).path(namespace, name))
        return found

    def find(self, api_version: str, kind: str, namespace: str | None, name: str) -> Object | None:
        """An object, or None."""
        try:
            return self.get(api_version, kind, namespace, name)
        except ApiError as error:
            if error.code != 404:
                raise
            return None

    def list(self, api_version: str, kind: str, namespace: str | None = None, selector: str = "") -> list[Object]:
        """The objects of a kind, in a namespace or in all."""
        query = f"?labelSelector={urllib.parse.quote(selector)}" if selector else ""
        items: list[Object] = self.request("GET", self.resource(api_version, kind).path(namespace) + query)["items"]
        return items

    def patch(self, api_version: str, kind: str, namespace: str | None, name: str, change: Any, *,
              sub: str | None = None, content_type: str = "application/merge-patch+json") -> Object:
        """Changes an object, or a subresource of it."""
        path = self.resource(api_version, kind).path(namespace, name, sub)
        changed: Object = self.request("PATCH", path, change, content_type)
        return changed

    def delete(self, api_version: str, kind: str, namespace: str | None, name: str) -> None:
        """Deletes an object; none is none."""
        try:
            self.request("DELETE", self.resource(api_version, kind).path(namespace, name))
        except ApiError as error:
            if error.code != 404:
                raise

    def events_of(self, path: str, version: str) -> Any:
        """The lines of one watch from a resourceVersion on."""
        connection = self._connection(WATCH + TIMEOUT)
        try:
            query = f"?watch=1&resourceVersion={version}&timeoutSeconds={WATCH}"
            connection.request("GET", path + query)
            response = connection.getresponse()
            if response.status >= 400:
                raise ApiError(response.status, response.read().decode())
            for line in response:
                yield json.loads(line)
        finally:
            connection.close()


@dataclass
class Seen:
    """One state of an object, and when it was seen (seconds since the epoch)."""

    at: float
    obj: Object
    deleted: bool = False


@dataclass
class Watch:
    """Follows kinds in all namespaces and remembers every state of every object."""

    kube: Kube
    # Told of every state, in the watch's own thread.
    listener: Callable[[str, Seen], None] | None = None
    history: dict[tuple[str, str, str], list[Seen]] = field(default_factory=dict)
    changed: threading.Condition = field(default_factory=threading.Condition)

    def follow(self, api_version: str, kind: str) -> None:
        """Begins with the objects there are now; every later change will be seen."""
        path = self.kube.resource(api_version, kind).path()
        listed = self.kube.request("GET", path)
        for item in listed["items"]:
            self._note(kind, item, deleted=False)
        version = listed["metadata"]["resourceVersion"]
        threading.Thread(target=self._run, args=(path, kind, version), daemon=True).start()

    def _run(self, path: str, kind: str, version: str) -> None:
        while True:
            try:
                for event in self.kube.events_of(path, version):
                    if event["type"] == "ERROR":
                        raise ApiError(event["object"].get("code", 0), event["object"].get("message", ""))
                    version = event["object"]["metadata"]["resourceVersion"]
                    self._note(kind, event["object"], deleted=event["type"] == "DELETED")
            except (ApiError, OSError, http.client.HTTPException):
                # The server forgot the version, or went away: what happened in between is lost, the newest state is not.
                time.sleep(0.5)
                try:
                    listed = self.kube.request("GET", path)
                    version = listed["metadata"]["resourceVersion"]
                    for item in listed["items"]:
                        self._note(kind, item, deleted=False)
                except (ApiError, OSError, http.client.HTTPException):
                    continue

    def _note(self, kind: str, obj: Object, *, deleted: bool) -> None:
        meta, seen = obj["metadata"], Seen(time.time(), obj, deleted)
        with self.changed:
            states = self.history.setdefault((kind, meta.get("namespace", ""), meta["name"]), [])
            if states and not deleted and states[-1].obj["metadata"]["resourceVersion"] == meta["resourceVersion"]:
                return
            states.append(seen)
            self.changed.notify_all()
        if self.listener:
            self.listener(kind, seen)

    def states(self, kind: str, namespace: str, name: str) -> list[Seen]:
        """Every state of an object so far."""
        with self.changed:
            return list(self.history.get((kind, namespace, name), []))

    def latest(self, kind: str, namespace: str, name: str) -> Object:
        """The newest state, {} when there is none."""
        states = self.history.get((kind, namespace, name))
        return states[-1].obj if states and not states[-1].deleted else {}

    def until(self, kind: str, namespace: str, name: str, wanted: Callable[[Object], Any], seconds: float) -> bool:
        """Waits until the newest state is as wanted; False when it is not in time."""
        with self.changed:
            return self.changed.wait_for(lambda: bool(wanted(self.latest(kind, namespace, name))), seconds)
