package main

import (
	"flag"
	"fmt"
	"io"
	"strings"
)

// flagSet is a set of flags each of which an environment variable sets too: --data-dir by WEIR_DATA_DIR. What the command line says wins.
type flagSet struct {
	*flag.FlagSet
	env func(string) string
}

func newFlags(name string, stderr io.Writer, env func(string) string) *flagSet {
	f := &flagSet{flag.NewFlagSet("weir "+name, flag.ContinueOnError), env}
	f.SetOutput(stderr)
	return f
}

// variable is the environment variable of a flag.
func variable(flagName string) string {
	return "WEIR_" + strings.ToUpper(strings.ReplaceAll(flagName, "-", "_"))
}

// parse reads the environment first, then the command line. Anything left over is an error: it would be silently ignored.
func (f *flagSet) parse(args []string) error {
	var bad error
	f.VisitAll(func(fl *flag.Flag) {
		if v := f.env(variable(fl.Name)); v != "" && bad == nil {
			if err := fl.Value.Set(v); err != nil {
				bad = fmt.Errorf("%s=%q: %w", variable(fl.Name), v, err)
			}
		}
	})
	if bad != nil {
		return bad
	}
	if err := f.Parse(args); err != nil {
		if err == flag.ErrHelp {
			return err
		}
		return errReported // the flag package has said why
	}
	if f.NArg() > 0 {
		return fmt.Errorf("unexpected argument %q; weir %s -h lists the flags", f.Arg(0), strings.TrimPrefix(f.Name(), "weir "))
	}
	return nil
}
