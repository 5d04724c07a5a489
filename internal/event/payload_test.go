package event_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"towpath.dev/towpath/internal/event"
)

var update = flag.Bool("update", false, "write the golden files anew")

// payloads says which struct each type carries.
var payloads = map[string]any{
	event.TypeUserCreated:       event.UserCreated{},
	event.TypeTokenCreated:      event.Token{},
	event.TypeTokenRevoked:      event.Token{},
	event.TypeRoleGranted:       event.RoleGranted{},
	event.TypeLoginFailed:       event.LoginFailed{},
	event.TypeProjectCreated:    event.Created{},
	event.TypeRepoCreated:       event.Created{},
	event.TypeCommitPushed:      event.CommitPushed{},
	event.TypeRefDeleted:        event.RefDeleted{},
	event.TypeRunQueued:         event.Run{},
	event.TypeRunStarted:        event.Run{},
	event.TypeRunFinished:       event.RunFinished{},
	event.TypeRunRefused:        event.RunRefused{},
	event.TypeRunRepeated:       event.RunRepeated{},
	event.TypeJobKept:           event.JobStay{},
	event.TypeJobReleased:       event.JobStay{},
	event.TypeTerminalOpened:    event.JobStay{},
	event.TypePipelineVariable:  event.PipelineVariable{},
	event.TypePipelineChanged:   event.PipelineChanged{},
	event.TypeStageFinished:     event.StageFinished{},
	event.TypeJobStarted:        event.Job{},
	event.TypeJobFinished:       event.Job{},
	event.TypeTestsPublished:    event.TestsPublished{},
	event.TypeArtifactPublished: event.ArtifactPublished{},
	event.TypeAttachmentAdded:   event.AttachmentAdded{},
	event.TypeCoveragePublished: event.CoveragePublished{},
	event.TypeRunChanged:        event.RunChanged{},
	event.TypeImagePushed:       event.ImagePushed{},
	event.TypeImageDeleted:      event.ImageDeleted{},
	event.TypeSBOMCreated:       event.SBOMCreated{},
	event.TypeScanFinished:      event.ScanFinished{},
	event.TypeImageSigned:       event.ImageSigned{},
	event.TypeProvenanceCreated: event.ProvenanceCreated{},
	event.TypeAdvisoriesLoaded:  event.AdvisoriesLoaded{},
	event.TypeEnvironmentMade:   event.Created{},
	event.TypeReleaseStarted:    event.Release{},
	event.TypeReleaseFinished:   event.Release{},
	event.TypePodChanged:        event.PodChanged{},
	event.TypeClusterChanged:    event.ClusterChanged{},
	event.TypePullOpened:        event.Pull{},
	event.TypePullUpdated:       event.Pull{},
	event.TypePullReviewed:      event.PullReviewed{},
	event.TypePullCommented:     event.PullCommented{},
	event.TypePullMerged:        event.Pull{},
	event.TypePullClosed:        event.Pull{},
	event.TypeCheckFinished:     event.CheckFinished{},
	event.TypePushRefused:       event.PushRefused{},
	event.TypeSecretBypassed:    event.SecretBypassed{},
	event.TypeRulesetChanged:    event.RulesetChanged{},
	event.TypeRulesetJudged:     event.RulesetJudged{},
	event.TypeKeyAdded:          event.Key{},
	event.TypeKeyRemoved:        event.Key{},
	event.TypePolicyChanged:     event.PolicyChanged{},
	event.TypeDecisionMade:      event.DecisionMade{},
	event.TypeCompliance:        event.ComplianceChanged{},
	event.TypeReleaseObserved:   event.ReleaseObserved{},
	event.TypeReleaseCompared:   event.ReleaseCompared{},
	event.TypeAlertFired:        event.Alert{},
	event.TypeAlertResolved:     event.Alert{},
	event.TypeAlertRuleChanged:  event.AlertRuleChanged{},
	event.TypeSilenceChanged:    event.SilenceChanged{},
	event.TypeErrorFound:        event.ErrorFound{},
	event.TypeViewSaved:         event.ViewSaved{},

	event.TypeEnvironmentChanged: event.EnvironmentChanged{},
	event.TypeEnvironmentEnded:   event.EnvironmentEnded{},
	event.TypeCheckChanged:       event.CheckChanged{},
	event.TypeCheckHeld:          event.CheckHeld{},
	event.TypeCheckAnswered:      event.CheckHeld{},
	event.TypeCheckDecided:       event.CheckHeld{},
	event.TypeLibraryChanged:     event.LibraryChanged{},
	event.TypeTaskChanged:        event.TaskChanged{},
	event.TypeWebhookReceived:    event.WebhookReceived{},
	event.TypeRetentionChanged:   event.RetentionChanged{},
	event.TypeRunKept:            event.RunKept{},
	event.TypeRunRemoved:         event.RunRemoved{},
	event.TypeLibraryLent:        event.LibraryLent{},
	event.TypePoolChanged:        event.PoolChanged{},
	event.TypeCanaryStepped:      event.Canary{},
	event.TypeCanaryFinished:     event.Canary{},
	event.TypeDriftFound:         event.DriftFound{},
	event.TypeDriftUndone:        event.DriftUndone{},
	event.TypeReleaseRemoved:     event.ReleaseRemoved{},
	event.TypeObjectsChanged:     event.ObjectsChanged{},
	event.TypeSessionStarted:     event.Session{},
	event.TypeSessionShared:      event.Session{},
	event.TypeSessionEnded:       event.Session{},
	event.TypeItemCreated:        event.Item{},
	event.TypeItemChanged:        event.Item{},
	event.TypeItemCommented:      event.ItemCommented{},
	event.TypeStatesChanged:      event.StatesChanged{},
	event.TypeSprintChanged:      event.SprintChanged{},
}

// TestPayloadsArePinned compares each payload, once with every field set and once empty,
// with the golden file: events are kept for ever, so a field may be added but never
// renamed or removed.
func TestPayloadsArePinned(t *testing.T) {
	type pin struct {
		Full  json.RawMessage `json:"full"`
		Empty json.RawMessage `json:"empty"`
	}
	pins := map[string]pin{}
	for name, p := range payloads {
		full := reflect.New(reflect.TypeOf(p))
		fill(t, full.Elem(), "x")
		pins[name] = pin{encode(t, full.Interface()), encode(t, p)}
	}
	got, err := json.MarshalIndent(pins, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	got = append(got, '\n')
	golden := filepath.Join("testdata", "payload.golden.json")
	if *update {
		if err := os.WriteFile(golden, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("payloads changed; -update only when fields were added (-want +got):\n%s", diff)
	}
}

// TestEveryTypeHasAPayload keeps the table above complete.
func TestEveryTypeHasAPayload(t *testing.T) {
	f, err := parser.ParseFile(token.NewFileSet(), "payload.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	ast.Inspect(f, func(node ast.Node) bool {
		spec, ok := node.(*ast.ValueSpec)
		if !ok {
			return true
		}
		for i, name := range spec.Names {
			lit, ok := spec.Values[i].(*ast.BasicLit)
			if !ok || len(name.Name) < 5 || name.Name[:4] != "Type" {
				continue
			}
			n++
			value, err := strconv.Unquote(lit.Value)
			if err != nil {
				t.Fatal(err)
			}
			if _, ok := payloads[value]; !ok {
				t.Errorf("%s (%q) is missing in the table of this test", name.Name, value)
			}
		}
		return true
	})
	if n != len(payloads) {
		t.Errorf("payload.go has %d types, the table %d", n, len(payloads))
	}
}

func encode(t *testing.T, v any) json.RawMessage {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return bytes.TrimSpace(b)
}

// fill sets every field to a value that is not its zero value.
func fill(t *testing.T, v reflect.Value, name string) {
	t.Helper()
	switch v.Interface().(type) {
	case time.Time:
		v.Set(reflect.ValueOf(time.Date(2026, 1, 2, 3, 4, 5, 6e6, time.UTC)))
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			fill(t, v.Field(i), v.Type().Field(i).Name)
		}
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		fill(t, v.Index(0), name)
	case reflect.Map:
		value := reflect.New(v.Type().Elem()).Elem()
		fill(t, value, name)
		v.Set(reflect.MakeMap(v.Type()))
		v.SetMapIndex(reflect.ValueOf("key"), value)
	case reflect.String:
		v.SetString(name)
	case reflect.Int, reflect.Int64:
		v.SetInt(1)
	case reflect.Float64:
		v.SetFloat(1.5)
	case reflect.Bool:
		v.SetBool(true)
	default:
		t.Fatalf("field %s has the unforeseen type %s", name, v.Type())
	}
}
