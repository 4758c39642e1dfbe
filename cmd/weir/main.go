// Command weir is the gateway: `weir serve` runs it, the other subcommands help to set it up.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
)

// version is set by the build: -ldflags "-X main.version=...".
var version = "dev"

func main() {
	if len(os.Args) > 1 && os.Args[1] == "serve" {
		relax()
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr, os.Getenv)
	stop()
	switch {
	case err == nil, errors.Is(err, flag.ErrHelp):
	case errors.Is(err, errReported):
		os.Exit(1)
	default:
		fmt.Fprintln(os.Stderr, "weir: "+err.Error())
		os.Exit(1)
	}
}

// errReported is a failure that has been told already.
var errReported = errors.New("reported")

const help = `Weir: one governed door to every large language model.

  weir serve [flags]          run the gateway (weir serve -h lists the flags)
  weir config check FILE      read a configuration and say everything that is wrong with it
  weir config reference       print every setting with its default
  weir mock [flags]           serve all five dialects as a provider would, for tests and load
  weir providers              list the provider kinds, their variables and addresses
  weir migrate [flags]        bring the database up to date and exit
  weir import litellm [flags] bring the database of a LiteLLM proxy over: keys, users, teams, budgets, models, spend
  weir version                print the version
`

// run is the whole program, for main and for tests.
func run(ctx context.Context, args []string, stdout, stderr io.Writer, env func(string) string) error {
	if len(args) == 0 {
		fmt.Fprint(stderr, help)
		return errReported
	}
	switch args[0] {
	case "serve":
		return serve(ctx, args[1:], stdout, stderr, env)
	case "config":
		return configCommand(args[1:], stdout, stderr, env)
	case "mock":
		return mockCommand(ctx, args[1:], stdout, stderr, env)
	case "providers":
		return providersCommand(stdout)
	case "migrate":
		return migrate(ctx, args[1:], stdout, stderr, env)
	case "import":
		return importCommand(ctx, args[1:], stdout, stderr, env)
	case "version", "--version", "-version":
		fmt.Fprintln(stdout, "weir "+version)
		return nil
	case "help", "-h", "--help":
		fmt.Fprint(stdout, help)
		return nil
	}
	return fmt.Errorf("unknown command %q; weir help lists them", args[0])
}
