# The one door: `make check` is what CI runs.
.PHONY: check lint test format demo up bench lock

check: ## format, lint, types, import floors, tests
	./farm test

lint: ## the same without the tests
	./farm check

test: ## only the tests; make test ARGS="-k lanes"
	./farm test $(or $(ARGS),tests)

format:
	./farm setup --dev
	.venv/bin/ruff format .
	.venv/bin/ruff check --fix .

demo:
	./farm demo

up:
	./farm up

bench:
	./farm bench

# One lock for all platforms that uv and pip both install, pinned by hash, naming no host. Needs uv.
COMPILE = uv pip compile pyproject.toml --universal --generate-hashes --no-emit-index-url --no-header --python-version 3.11
lock:
	$(COMPILE) --extra postgres --extra s3 --extra kubernetes --extra ssh -o requirements.lock
	$(COMPILE) --all-extras -c requirements.lock -o requirements-dev.lock
