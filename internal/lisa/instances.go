package lisa

import (
	_ "embed"
	"regexp"
	"strings"
)

//go:embed instances.txt
var instanceNames string

// instances are the types of EC2 instances known: see README.md for where the names come from.
type instances struct {
	names    []string
	families map[string]bool
}

func readInstances() instances {
	in := instances{names: strings.Fields(instanceNames), families: map[string]bool{}}
	for _, name := range in.names {
		family, _, _ := strings.Cut(name, ".")
		in.families[family] = true
	}
	return in
}

var instanceSize = regexp.MustCompile(`^(nano|micro|small|medium|large|xlarge|[0-9]{1,3}xlarge|metal(-[0-9]{1,3}xl)?)$`)

// valid reports whether a name is one of an EC2 instance type: of a family there is, in a size there may be. A new size of a known family
// needs no new list.
func (in instances) valid(name string) bool {
	family, size, ok := strings.Cut(name, ".")
	return ok && in.families[family] && instanceSize.MatchString(size)
}

func (a *API) instanceTypes(*call) (any, error) { return a.instances.names, nil }
