package pool_test

import (
	"strings"
	"testing"

	"towpath.dev/towpath/internal/pipeline/pool"
)

func TestDemandsJ011_Y173(t *testing.T) {
	has := pool.Capabilities{"docker": "/usr/bin/docker", "Agent.OS": "Linux", "java": "17.0.2", "Agent.Version": "0.1.0"}
	for _, c := range []struct{ name, demand, err, lacks string }{
		{"J011 a name", "Docker", "", ""},
		{"J011 a name that is missing", "gpu", "", "gpu"},
		{"J011 a value", "agent.os -EQUALS linux", "", ""},
		{"J011 a value that is another", "Agent.OS -equals Windows NT", "", "Agent.OS -equals Windows NT"},
		{"J011 a value of nothing", "gpu -equals a100", "", "gpu -equals a100"},
		{"J011 a newer version", "java -gtVersion 17.0", "", ""},
		{"J011 not a newer version", "java -gtVersion 21", "", "java -gtVersion 21"},
		{"J011 the version of the service's agent says nothing here", "Agent.Version -gtVersion 2.163.1", "", ""},
		{"J011 another comparison", "docker -like x", `the demand "docker -like x" compares by -like; use -equals or -gtVersion`, ""},
		{"J011 no value", "java -equals", `the demand "java -equals" compares with nothing; write java -equals VALUE`, ""},
		{"J011 no demand", "docker java", `"docker java" is no demand; write the name of a capability, or NAME -equals VALUE`, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			list, err := pool.ParseDemands([]string{c.demand, c.demand, ""})
			if err != nil {
				if err.Error() != c.err {
					t.Errorf("got %v, want %s", err, c.err)
				}
				return
			}
			if c.err != "" || len(list) != 1 {
				t.Fatalf("%v, want the error %s", list, c.err)
			}
			if got := pool.Text(has.Lacks(pool.FromText(pool.Text(list)))); got != c.lacks {
				t.Errorf("lacks %q, want %q", got, c.lacks)
			}
		})
	}
	if _, err := pool.ParseDemands(strings.Split(strings.Repeat("a ", 51), " ")); err == nil {
		t.Error("51 demands were taken")
	}
}

func FuzzDemand(f *testing.F) {
	f.Add("docker")
	f.Add("a -equals b")
	f.Fuzz(func(t *testing.T, text string) {
		d, err := pool.ParseDemand(text)
		if err != nil {
			return
		}
		if again, err := pool.ParseDemand(d.String()); err != nil || again != d {
			t.Errorf("%q became %q and then %+v, %v", text, d.String(), again, err)
		}
	})
}
