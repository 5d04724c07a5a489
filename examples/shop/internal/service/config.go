package service

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"time"

	"shop/internal/fault"
	"shop/internal/hop"
)

// Config is what every service of the shop reads from its environment.
type Config struct {
	Self hop.Self
	// Listen is the HTTP address (LISTEN, default ":8080").
	Listen string
	// ListenGRPC is the gRPC address (LISTEN_GRPC, default ":9090"); used by a service that has a gRPC side.
	ListenGRPC string
	// FailReady makes /readyz fail for ever (FAIL_READY=true): the way to show a rollout that must be rolled back.
	FailReady bool
	// CrashLoop makes the service end with a panic instead of serving (CRASH=true): the way to see a crash loop and its alert.
	CrashLoop bool
	// Drain is how long the service goes on serving after SIGTERM while it says "not ready" (DRAIN, default 1s).
	Drain time.Duration
	// Faults is the switch set by FAULTS, FAULT_ERROR_RATE and FAULT_LATENCY.
	Faults *fault.Switch
}

// NewConfig reads the environment. linked is the build id that the linker put into the program; BUILD_ID is used when it is empty
// (go run), and "dev" when both are. A value that makes no sense is an error, never a silent default.
func NewConfig(name, linked string, getenv func(string) string) (Config, error) {
	cfg := Config{
		Self:       hop.Self{Service: name, Build: cmp.Or(linked, getenv("BUILD_ID"), "dev")},
		Listen:     cmp.Or(getenv("LISTEN"), ":8080"),
		ListenGRPC: cmp.Or(getenv("LISTEN_GRPC"), ":9090"),
		Drain:      time.Second,
	}
	var err error
	if cfg.FailReady, err = flag(getenv, "FAIL_READY", "true"); err != nil {
		return Config{}, err
	}
	if cfg.CrashLoop, err = flag(getenv, "CRASH", "true"); err != nil {
		return Config{}, err
	}
	if text := getenv("DRAIN"); text != "" {
		if cfg.Drain, err = time.ParseDuration(text); err != nil || cfg.Drain < 0 {
			return Config{}, fmt.Errorf("DRAIN is %q; use a duration such as 1s", text)
		}
	}
	enabled, err := flag(getenv, "FAULTS", "enabled")
	if err != nil {
		return Config{}, err
	}
	rate, latency := getenv("FAULT_ERROR_RATE"), getenv("FAULT_LATENCY")
	if !enabled && rate+latency != "" {
		return Config{}, fmt.Errorf("FAULT_ERROR_RATE or FAULT_LATENCY is set but faults are off; set FAULTS=enabled too")
	}
	initial, err := fault.ParseSetting(rate, latency)
	if err != nil {
		return Config{}, fmt.Errorf("reading the fault switches: %w", err)
	}
	cfg.Faults = fault.New(enabled, initial, rand.Float64)
	return cfg, nil
}

// flag reads a variable that is on with exactly one value, and off when empty or "false".
func flag(getenv func(string) string, name, on string) (bool, error) {
	switch value := getenv(name); value {
	case on:
		return true, nil
	case "", "false":
		return false, nil
	default:
		return false, fmt.Errorf("%s is %q; use %q or leave it empty", name, value, on)
	}
}
