// Command pipelineschema makes the data that validation is based on, from the schema
// that Microsoft publishes with azure-pipelines-vscode (MIT; the notice stands beside
// the data):
//
//	go run ./scripts/pipelineschema service-schema.json
//
// It writes internal/pipeline/validate/schema.json with the definitions of the language
// and internal/pipeline/validate/published.json with the built-in tasks. Run it when a
// new schema is published, and read the differences.
package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"towpath.dev/towpath/internal/pipeline/validate"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: go run ./scripts/pipelineschema service-schema.json")
		os.Exit(2)
	}
	if err := run(os.Args[1], filepath.Join("internal", "pipeline", "validate")); err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

// published is the part of a JSON schema that the published one uses.
type published struct {
	Ref           string                `json:"$ref"`
	Comment       string                `json:"$comment"`
	Type          string                `json:"type"`
	Description   string                `json:"description"`
	Deprecated    string                `json:"deprecationMessage"`
	Pattern       string                `json:"pattern"`
	IgnoreCase    string                `json:"ignoreCase"`
	Enum          []string              `json:"enum"`
	Aliases       []string              `json:"aliases"`
	Required      []string              `json:"required"`
	First         []string              `json:"firstProperty"`
	AnyOf         []*published          `json:"anyOf"`
	Items         *published            `json:"items"`
	Properties    map[string]*published `json:"properties"`
	Patterns      map[string]*published `json:"patternProperties"`
	MinProperties int                   `json:"minProperties"`
	Additional    *bool                 `json:"additionalProperties"`
	Definitions   map[string]*published `json:"definitions"`
	order         []string
}

// UnmarshalJSON keeps the order of the properties, in which completion offers them.
func (p *published) UnmarshalJSON(data []byte) error {
	type plain published
	if err := json.Unmarshal(data, (*plain)(p)); err != nil {
		return err
	}
	var raw struct {
		Properties json.RawMessage `json:"properties"`
	}
	if err := json.Unmarshal(data, &raw); err != nil || len(raw.Properties) == 0 {
		return err
	}
	d := json.NewDecoder(bytes.NewReader(raw.Properties))
	if _, err := d.Token(); err != nil {
		return err
	}
	for d.More() {
		name, err := d.Token()
		if err != nil {
			return err
		}
		var skip json.RawMessage
		if err := d.Decode(&skip); err != nil {
			return err
		}
		p.order = append(p.order, fmt.Sprint(name))
	}
	return nil
}

func run(source, target string) error {
	data, err := os.ReadFile(source)
	if err != nil {
		return fmt.Errorf("reading the schema: %w", err)
	}
	var root published
	if err := json.Unmarshal(data, &root); err != nil {
		return fmt.Errorf("parsing %s: %w", source, err)
	}
	if len(root.Definitions) == 0 || root.Definitions["task"] == nil || root.Definitions["pipeline"] == nil {
		return fmt.Errorf("%s is not the schema of Azure Pipelines: it defines no pipeline", source)
	}
	schema := validate.Schema{Version: root.Comment, Definitions: map[string]*validate.Definition{}}
	for name, d := range root.Definitions {
		if name != "task" {
			schema.Definitions[name] = definition(d)
		}
	}
	schema.Definitions["task"] = taskStep(root.Definitions)
	if err := write(filepath.Join(target, "schema.json"), schema); err != nil {
		return err
	}
	return write(filepath.Join(target, "published.json"), tasks(root.Definitions["task"]))
}

// taskStep is the definition of a task step. The published one is generated apart from
// the language and lacks keys that every step has, so the keys of a step are taken from
// where the other steps have them.
func taskStep(definitions map[string]*published) *validate.Definition {
	step := definition(definitions["taskBase"])
	step.First = definitions["task"].First
	step.Keys = append([]validate.Key{
		{Name: "task", Definition: validate.Definition{Ref: "nonEmptyString", About: "Task reference including major version"}},
		{Name: "inputs", Definition: validate.Definition{Ref: "mappingOfStringString", About: "Inputs of the task"}},
	}, step.Keys...)
	return step
}

func write(file string, v any) error {
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return fmt.Errorf("writing %s: %w", file, err)
	}
	return os.WriteFile(file, out.Bytes(), 0o644)
}

func definition(p *published) *validate.Definition {
	d := &validate.Definition{
		Ref: strings.TrimPrefix(p.Ref, "#/definitions/"), Type: p.Type, About: p.Description, Deprecated: p.Deprecated,
		Words: p.Enum, Pattern: p.Pattern, Fold: p.IgnoreCase == "value" || p.IgnoreCase == "all",
		First: p.First, Required: p.Required, AtLeast: p.MinProperties,
		Open: p.Type == "object" && (p.Additional == nil || *p.Additional),
	}
	for _, variant := range p.AnyOf {
		d.Any = append(d.Any, definition(variant))
	}
	if p.Items != nil {
		d.Items = definition(p.Items)
	}
	for _, name := range p.order {
		d.Keys = append(d.Keys, validate.Key{Name: name, Definition: *definition(p.Properties[name])})
	}
	for pattern, value := range p.Patterns {
		d.KeyPattern, d.Values = pattern, definition(value)
	}
	return d
}

// tasks reads the variants of the task step, each of which is a task. Several tasks of
// one name and version share the entry with the most inputs.
func tasks(p *published) []validate.Task {
	byName := map[string]validate.Task{}
	for _, variant := range p.AnyOf {
		reference := strings.TrimSuffix(strings.TrimPrefix(variant.Properties["task"].Pattern, "^"), "$")
		name, version, _ := strings.Cut(reference, "@")
		major, err := strconv.Atoi(version)
		if err != nil {
			continue
		}
		title, about, _ := strings.Cut(variant.Properties["task"].Description, "\n\n")
		t := validate.Task{Name: name, Major: major, Title: title, About: about, Deprecated: variant.Deprecated}
		inputs := variant.Properties["inputs"]
		for _, key := range inputs.order {
			input := inputs.Properties[key]
			kind := input.Type
			if kind == "string" {
				kind = ""
			}
			t.Inputs = append(t.Inputs, validate.Input{
				Name: key, Title: input.Description, Aliases: input.Aliases, Options: input.Enum, Type: kind,
				Required: slices.Contains(inputs.Required, key),
			})
		}
		if old, ok := byName[strings.ToLower(reference)]; !ok || len(t.Inputs) > len(old.Inputs) {
			byName[strings.ToLower(reference)] = t
		}
	}
	var all []validate.Task
	for _, t := range byName {
		all = append(all, t)
	}
	return validate.NewCatalog(all).Tasks()
}
