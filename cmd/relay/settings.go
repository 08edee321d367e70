package main

import (
	"os"
	"slices"

	"github.com/spf13/pflag"

	"github.com/seed96252745/relay/internal/auth"
)

// given stands for the value of a setting that leads to something secret.
const given = "(given)"

// settings returns the flags that are given, wherever, for a bug
// report: those that name a file with a secret, or hold one, without their value.
func (f *flags) settings() map[string]string {
	secret := []string{"tokenFile", "tokens", "tlsKey", "adminTokenFile"}
	found := make(map[string]string)
	for _, group := range f.groups() {
		group.flags.VisitAll(func(flag *pflag.Flag) {
			switch {
			case !flag.Changed:
			case slices.Contains(secret, flag.Name):
				found[flag.Name] = given
			default:
				found[flag.Name] = auth.Conceal(flag.Value.String())
			}
		})
	}
	if _, set := os.LookupEnv("RELAY_TOKEN"); set {
		found["RELAY_TOKEN"] = given
	}
	return found
}
