# `make run` and `make test` are all that a new user needs: Python 3.11+ and make.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
PY     := $(BIN)/python

.DEFAULT_GOAL := help
.PHONY: help install run test check check-fast generate bench profile prove deploy-test lock sbom audit fmt clean grpc-python proto-deps release-image

help: ## show what can be made
	@grep -E '^[a-z-]+:.*## |^#: ' $(MAKEFILE_LIST) | sed -E 's/^#: /\n/; s/^([a-z-]+):.*## /  make \1\t/' | expand -t 22

#: Set up and run
install: $(VENV)/.developer ## install everything for development into .venv

# What running needs. A developer's .venv has it too: both locks pin the same versions.
$(VENV)/.runtime: requirements.lock pyproject.toml
	$(call install_from,requirements.lock)

$(VENV)/.developer: requirements-dev.lock pyproject.toml
	$(call install_from,requirements-dev.lock)
	@touch $(VENV)/.runtime

define install_from
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("Nivisco needs Python 3.11 or newer; set PYTHON=python3.x")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r $(1)
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --ignore-requires-python -e .
	@touch $@
endef

run: $(VENV)/.runtime ## start everything on this machine (ARGS="--http 127.0.0.1:9000")
	@exec $(BIN)/nivisco up $(ARGS)

#: Test and check
# Two processes, each with a PostgreSQL of its own: with more, some tests exceed their time limits.
test: install ## run the whole suite (ARGS="-k wallet")
	$(BIN)/pytest -q --numprocesses 2 --dist loadfile --no-loadscope-reorder $(ARGS)

# The google/* files that ours import, taken from the installed googleapis-common-protos,
# and the details of an error and the health protocol, which clients generate.
GOOGLE_PROTOS := google/rpc/code.proto google/rpc/error_details.proto google/rpc/status.proto google/type/money.proto

proto-deps: install
	@rm -rf build/googleapis && $(PY) -c 'import pathlib, shutil, google.type.money_pb2 as m; \
	root = pathlib.Path(m.__file__).parents[2]; out = pathlib.Path("build/googleapis"); \
	[((out / f).parent.mkdir(parents=True, exist_ok=True), shutil.copy(root / f, out / f)) for f in "$(GOOGLE_PROTOS)".split()]'
	@$(PY) -c 'import pathlib; from google.protobuf.descriptor_pb2 import FileDescriptorSet as Set; \
	from grpc_health.v1.health_pb2 import DESCRIPTOR; health = Set(); DESCRIPTOR.CopyToProto(health.file.add()); \
	pathlib.Path("build/health.binpb").write_bytes(health.SerializeToString())'

PROTOC = $(PY) -m grpc_tools.protoc -I proto -I third_party -I build/googleapis \
	--plugin=protoc-gen-mypy=$(BIN)/protoc-gen-mypy --plugin=protoc-gen-mypy_grpc=$(BIN)/protoc-gen-mypy_grpc

define generate_into
	@rm -rf $(1) && mkdir -p $(1)
	@$(PROTOC) --python_out=$(1) --mypy_out=quiet:$(1) \
		proto/nivisco/annotations/v1/*.proto proto/nivisco/payments/v1/*.proto \
		proto/nivisco/internal/v1/*.proto third_party/buf/validate/validate.proto
	@$(PROTOC) --grpc_python_out=$(1) --mypy_grpc_out=quiet:$(1) \
		$(shell grep -l '^service' proto/nivisco/payments/v1/*.proto proto/nivisco/internal/v1/*.proto)
	@$(PROTOC) --descriptor_set_out=build/commented.binpb --include_source_info \
		proto/nivisco/payments/v1/*.proto
	@$(PY) -m portal.comments build/commented.binpb $(1)/nivisco/payments/v1/comments.json
endef

BUF_IMAGE = $(BIN)/buf build --path proto/nivisco --exclude-source-info

check-fast: install proto-deps ## the fast part of check: lint, format, import contracts, buf lint
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/buf lint
	$(BIN)/buf format --diff --exit-code proto

check: check-fast ## lint, types, import contracts, schema rules, generated code up to date
	$(BIN)/mypy
	@$(BUF_IMAGE) -o build/now.binpb
	$(BIN)/buf breaking build/now.binpb --against proto/last_release.binpb --config buf.yaml
	$(call generate_into,build/generated)
	@diff -r -x __pycache__ build/generated generated || { echo 'generated/ is not what proto/ says: run make generate'; exit 1; }
	$(PY) -m clients.generate --check

bench: install ## measure speed beside its goals, 10 minutes (ARGS="debits hop", ARGS=--help)
	$(PY) -m tests.bench $(ARGS)

# What the services need is in generated/ already, and nothing of the server's.
grpc-python: proto-deps ## write clients/grpc-python/src and build its wheel and sdist into build/grpc-python
	$(BIN)/buf generate --template buf.gen.python.yaml
	@cp generated/nivisco/payments/v1/*_pb2_grpc.py* clients/grpc-python/src/nivisco/payments/v1/
	@touch clients/grpc-python/src/nivisco/payments/v1/py.typed
	@cd clients/grpc-python && $(abspath $(PY)) -m hatchling build -d $(CURDIR)/build/grpc-python

profile: $(VENV)/.runtime ## show where the running processes spend CPU time (ARGS="--seconds 30")
	@$(BIN)/nivisco profile $(ARGS)

prove: install ## kill cores at every failpoint, then compare the books (PROVE_MINUTES=10)
	$(PY) -m tests.prove
	STORY_DELIVERIES=10000 $(PY) -m pytest -q tests/core/webhooks/test_stories.py
	CROWD_PLANS=25 CROWD_SEED=$$$$ $(PY) -m pytest -q tests/prove/test_crowd.py
	$(PY) -m tests.upgrades.together
	CONCURRENT_REFUNDS=1000 $(PY) -m pytest -q tests/core/refunds/test_refund.py -k concurrent

deploy-test: install ## build the image's tree from the package index, and run it (needs root)
	IMAGE_FROM_INDEX=1 $(BIN)/pytest -q tests/deploy/test_image.py

#: Keep up to date
fmt: install ## format Python and proto files
	$(BIN)/ruff format . && $(BIN)/ruff check --fix . && $(BIN)/buf format -w proto

generate: proto-deps ## write generated/ and clients/ from proto/
	$(call generate_into,generated)
	$(PY) -m clients.generate

release-image: proto-deps ## keep the schema of this release for `buf breaking`
	$(BUF_IMAGE) -o proto/last_release.binpb

COMPILE = $(BIN)/uv pip compile pyproject.toml --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-header --no-annotate --quiet --unsafe-package pip

SBOM = $(BIN)/cyclonedx-py requirements requirements.lock --pyproject pyproject.toml --mc-type application --output-reproducible --of JSON

sbom: install ## write build/sbom.json: CycloneDX, of what runs
	@mkdir -p build && $(SBOM) -o build/sbom.json

audit: install ## look for known vulnerabilities; passes without a network
	@$(PY) -m tests.deploy.audit

lock: install ## resolve both locks again from pyproject.toml
	$(COMPILE) --upgrade --extra dev --extra install -o requirements-dev.lock
	sed -nE 's/^([^ ]+==[^ ]+( ;.*[^ \\])?).*/\1/p' requirements-dev.lock > build/versions.txt
	$(COMPILE) --extra install --extra tracing --constraint build/versions.txt -o requirements.lock

clean: ## remove .venv and what was built (var/ with its data stays)
	rm -rf $(VENV) build .mypy_cache .pytest_cache .ruff_cache
