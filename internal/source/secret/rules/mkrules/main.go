// Command mkrules converts the rule set of gitleaks to the file that package secret
// embeds:
//
//	go mod download -json github.com/zricethezav/gitleaks/v8@v8.30.1
//	go run ./internal/source/secret/rules/mkrules -o internal/source/secret/rules/gitleaks.json DIR/config/gitleaks.toml
//
// where DIR is the folder that the first command names. Nothing is changed but the form.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/BurntSushi/toml"
)

// allow is a list of what is no secret: of one rule, or of all.
type allow struct {
	Condition   string   `toml:"condition" json:"condition,omitempty"`
	RegexTarget string   `toml:"regexTarget" json:"target,omitempty"`
	Paths       []string `toml:"paths" json:"paths,omitempty"`
	Regexes     []string `toml:"regexes" json:"regexes,omitempty"`
	StopWords   []string `toml:"stopwords" json:"stopwords,omitempty"`
}

type rule struct {
	ID          string   `toml:"id" json:"id"`
	Description string   `toml:"description" json:"title"`
	Regex       string   `toml:"regex" json:"regex,omitempty"`
	Path        string   `toml:"path" json:"path,omitempty"`
	SecretGroup int      `toml:"secretGroup" json:"group,omitempty"`
	Entropy     float64  `toml:"entropy" json:"entropy,omitempty"`
	Keywords    []string `toml:"keywords" json:"keywords,omitempty"`
	Allowlists  []allow  `toml:"allowlists" json:"allow,omitempty"`
}

type config struct {
	Allowlist allow  `toml:"allowlist"`
	Rules     []rule `toml:"rules"`
}

// set is the form of the file.
type set struct {
	Source string `json:"source"`
	Allow  allow  `json:"allow"`
	Rules  []rule `json:"rules"`
}

func main() {
	out := flag.String("o", "", "file to write")
	flag.Parse()
	if *out == "" || flag.NArg() != 1 {
		fmt.Fprintln(os.Stderr, "usage: mkrules -o FILE gitleaks.toml")
		os.Exit(2)
	}
	if err := run(*out, flag.Arg(0)); err != nil {
		fmt.Fprintln(os.Stderr, "mkrules:", err)
		os.Exit(1)
	}
}

func run(out, in string) error {
	var c config
	meta, err := toml.DecodeFile(in, &c)
	if err != nil {
		return err
	}
	for _, key := range meta.Undecoded() {
		switch name := key.String(); {
		case name == "title", name == "minVersion", strings.HasSuffix(name, "description"):
		default:
			return fmt.Errorf("the rule set has a setting that is not converted: %s", name)
		}
	}
	for i := range c.Rules {
		for j, k := range c.Rules[i].Keywords {
			c.Rules[i].Keywords[j] = strings.ToLower(k)
		}
		slices.Sort(c.Rules[i].Keywords)
	}
	s := set{Source: "gitleaks v8.30.1, MIT licence, see LICENSE.gitleaks", Allow: c.Allowlist, Rules: c.Rules}
	text, err := json.MarshalIndent(s, "", " ")
	if err != nil {
		return err
	}
	fmt.Printf("%d rules\n", len(c.Rules))
	return os.WriteFile(out, append(text, '\n'), 0o644)
}
