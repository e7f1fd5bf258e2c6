"""The OpenAPI document as a judge: of the client that was generated from it, and of each answer that came."""
import importlib
import json
import re
from collections import Counter
from pathlib import Path

import httpx
from jsonschema import Draft202012Validator, FormatChecker
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012

METHODS = ("get", "put", "post", "delete", "patch")
URI = "urn:document"


def pointer(*keys: str) -> str:
    return "".join("/" + key.replace("~", "~0").replace("/", "~1") for key in keys)


class Document:
    def __init__(self, path: str):
        self.document = json.loads(Path(path).read_text())
        resource = Resource.from_contents(self.document, default_specification=DRAFT202012)
        self.registry = Registry().with_resource(URI, resource)
        self.operations = {
            (method, path): operation
            for path, item in self.document["paths"].items()
            for method, operation in item.items()
            if method in METHODS
        }
        self.called: Counter[str] = Counter()
        self.statuses: Counter[int] = Counter()
        self.values = 0

    def missing_in_client(self, package: str) -> list[str]:
        """Operations that the generated package has no module for, or a module without a call."""
        missing = []
        for operation in self.operations.values():
            name = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", operation["operationId"]).lower()
            try:
                module = importlib.import_module(f"{package}.api.{operation['tags'][0]}.{name}")
                assert callable(module.sync_detailed)
            except (ImportError, AttributeError, AssertionError):
                missing.append(operation["operationId"])
        return missing

    def judge(self, response: httpx.Response) -> None:
        """An event hook: raises for an answer that the document does not have, or that its schema refuses."""
        response.read()
        request = response.request
        method = request.method.lower()
        path, operation = self.find(method, request.url.path)
        what = f"{operation['operationId']} answered {response.status_code}"
        status = str(response.status_code)
        assert status in operation["responses"], f"{what}, which the document does not have: {response.text}"
        where = ["paths", path, method, "responses", status]
        if (ref := operation["responses"][status].get("$ref")) is not None:
            where = ref.removeprefix("#/").split("/")
        answer = self.at(where)
        media = response.headers.get("content-type", "").split(";")[0]
        assert media in answer["content"], f"{what} as {media!r}, which the document does not have"
        if media.endswith("json"):
            self.check(response.json(), pointer(*where, "content", media, "schema"), what)
        for name, header in answer.get("headers", {}).items():
            if name.lower() in response.headers:
                assert header["schema"]["type"] == "integer" and response.headers[name].isdigit(), f"{what}: {name}"
        if request.headers.get("content-type") == "application/json" and response.is_success:
            place = pointer("paths", path, method, "requestBody", "content", "application/json", "schema")
            self.check(json.loads(request.content), place, f"{operation['operationId']}, which was taken,")
        self.called[operation["operationId"]] += 1
        self.statuses[response.status_code] += 1

    def check(self, value, place: str, what: str) -> None:
        validator = Draft202012Validator(
            {"$ref": f"{URI}#{place}"}, registry=self.registry, format_checker=FormatChecker()
        )
        errors = [f"{error.json_path}: {error.message}"[:300] for error in validator.iter_errors(value)]
        assert not errors, f"{what} is not what {place} says: {errors[:5]}"
        self.values += 1

    def check_named(self, value, name: str) -> None:
        self.check(value, pointer("components", "schemas", name), name)

    def at(self, keys: list[str]):
        value = self.document
        for key in keys:
            value = value[key]
        return value

    def find(self, method: str, path: str):
        """Paths without parameters come first, as OpenAPI wants."""
        for template in sorted(self.document["paths"], key=lambda template: template.count("{")):
            pattern = re.sub(r"\\\{\w+\\\}", "[^/]+", re.escape(template))
            if (method, template) in self.operations and re.fullmatch(pattern, path):
                return template, self.operations[method, template]
        raise AssertionError(f"the document has no {method} {path}")
