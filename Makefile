# Two commands matter: `make run` and `make test`. Each does all of its own set-up.
# Everything downloaded or built lands in bin/ and .cache/, never in the repository.

GO        ?= go
VERSION   ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
LDFLAGS   := -s -w -X main.version=$(VERSION)
CACHE     := $(CURDIR)/.cache
STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.8.2
export CGO_ENABLED ?= 0
export GOFLAGS ?= -buildvcs=false

.PHONY: help run build check test bench fuzz generate image clean go

help: ## list the targets
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 12

go: # the one thing that has to be there before anything else
	@command -v $(GO) >/dev/null 2>&1 || { echo "Go 1.26 or newer is needed and was not found."; \
	  echo "Install it: https://go.dev/doc/install   (Debian: sudo apt-get install golang-go; macOS: brew install go)"; exit 1; }
	@$(GO) version | awk '{ split(substr($$3, 3), v, "."); if (v[1] < 1 || v[1] == 1 && v[2] < 26) { \
	  print "Go 1.26 or newer is needed; this is " $$3 ". Install a newer one: https://go.dev/doc/install"; exit 1 } }'

run: build ## build and start Weir with nothing configured
	@./bin/weir serve $(ARGS)

build: go ## leave the program in bin/weir
	@mkdir -p bin
	@$(GO) build -trimpath -ldflags '$(LDFLAGS)' -o bin/weir ./cmd/weir

check: go ## format, vet, lint, generated files, import law
	@unformatted=$$(gofmt -l $$(git ls-files '*.go' | grep -v /testdata/)); \
	  [ -z "$$unformatted" ] || { echo "not formatted (gofmt -w): $$unformatted"; exit 1; }
	$(GO) vet ./...
	$(GO) run $(STATICCHECK) ./...
	$(GO) mod tidy -diff
	./scripts/generated-clean
	$(GO) test ./test -run 'Law|Comments|House|Docs'

test: go ## install what the tests need, and run them all
	@./scripts/test

bench: build ## Weir beside nginx, in front of the same mock
	@./test/load/run

fuzz: go ## every fuzz target for a while (FUZZTIME=30s)
	@./scripts/fuzz $(or $(FUZZTIME),30s)

generate: go ## remake generated files (price data, configuration reference)
	$(GO) generate ./...

image: ## container image
	docker build -f deploy/Dockerfile -t weir:$(VERSION) .

clean: ## remove what was built and cached
	rm -rf bin .cache
