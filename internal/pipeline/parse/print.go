package parse

import (
	"bytes"
	"fmt"
	"strings"

	"go.yaml.in/yaml/v4"
)

// Print writes a tree as YAML, in the order of its keys, with two spaces of
// indentation. Parsing the text again gives a tree with the same content. It is
// what "towpath pipeline expand" shows.
func Print(n *Node) ([]byte, error) {
	if n == nil {
		return nil, nil
	}
	var out bytes.Buffer
	dumper, err := yaml.NewDumper(&out, yaml.WithIndent(2), yaml.WithLineWidth(-1))
	if err != nil {
		return nil, fmt.Errorf("printing YAML: %w", err)
	}
	if err := dumper.Dump(toYAML(n)); err != nil {
		return nil, fmt.Errorf("printing YAML: %w", err)
	}
	if err := dumper.Close(); err != nil {
		return nil, fmt.Errorf("printing YAML: %w", err)
	}
	return out.Bytes(), nil
}

func toYAML(n *Node) *yaml.Node {
	switch n.Kind {
	case Sequence:
		result := &yaml.Node{Kind: yaml.SequenceNode, Tag: "!!seq"}
		for _, item := range n.Items {
			result.Content = append(result.Content, toYAML(item))
		}
		if len(n.Items) == 0 {
			result.Style = yaml.FlowStyle
		}
		return result
	case Mapping:
		result := &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map"}
		for _, p := range n.Pairs {
			result.Content = append(result.Content, toYAML(p.Key), toYAML(p.Value))
		}
		if len(n.Pairs) == 0 {
			result.Style = yaml.FlowStyle
		}
		return result
	}
	return scalarToYAML(n)
}

// scalarToYAML keeps plain scalars plain, so that 3.10 and yes stay what they
// are, and lets the library quote where the text needs it.
func scalarToYAML(n *Node) *yaml.Node {
	result := &yaml.Node{Kind: yaml.ScalarNode, Value: n.Value}
	switch {
	case n.Style == Plain, n.Style == Made && plainWord(n.Value):
	case strings.Contains(n.Value, "\n"):
		result.Tag, result.Style = "!!str", yaml.LiteralStyle
	case n.Style == Quoted, n.Style == Made:
		result.Tag = "!!str"
		if looksTyped(n.Value) {
			result.Style = yaml.SingleQuotedStyle
		}
	default:
		result.Tag = "!!str"
	}
	return result
}

// plainWord reports whether text that an expression made is written without quotes, as
// the service does, although it is a string: the published schema wants Booleans and
// whole numbers in some places, and a reader that keeps text as it is sees no difference.
func plainWord(text string) bool {
	switch text {
	case "true", "false", "True", "False", "0":
		return true
	}
	return len(text) > 0 && len(text) < 16 && strings.Trim(text, "0123456789") == "" && text[0] != '0'
}

// looksTyped reports whether a reader could take the text for something other
// than a string if the quotes were dropped.
func looksTyped(text string) bool {
	switch strings.ToLower(text) {
	case "", "~", "null", "true", "false", "yes", "no", "on", "off", "y", "n":
		return true
	}
	return strings.Trim(text, "0123456789.+-eExX_") == ""
}
