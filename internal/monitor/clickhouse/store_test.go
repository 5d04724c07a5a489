package clickhouse_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/monitor/clickhouse"
	"towpath.dev/towpath/internal/monitor/lake"
	"towpath.dev/towpath/internal/monitor/table"
)

func TestAQuestionSeesItsScansOnly(t *testing.T) {
	got, err := clickhouse.Statement("tele`metry", lake.Query{SQL: `SELECT t1."Name" FROM "s1" AS t1`, Scans: []lake.Scan{
		{Name: "s1", Table: table.AppRequests, Project: `sh'op\`, Columns: []string{"Name"}, From: 5, To: 9},
		{Name: "s2", Table: table.AppDependencies, All: true, Columns: []string{}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	want := "WITH `s1` AS (SELECT 1 AS `rows of `, `Name` FROM `tele\\`metry`.`AppRequests` WHERE 1 AND `Project` = 'sh\\'op\\\\' AND `TimeGenerated` >= 5 AND `TimeGenerated` < 9), " +
		"`s2` AS (SELECT 1 AS `rows of ` FROM `tele\\`metry`.`AppDependencies` WHERE 1) SELECT t1.\"Name\" FROM \"s1\" AS t1"
	if got != want {
		t.Errorf("got\n%s\nnot\n%s", got, want)
	}
	for _, s := range []lake.Scan{{Name: "s1", Table: "system.users"}, {Name: "s1", Table: table.Perf}, {Name: "s1", Table: table.AppRequests, Columns: []string{"Name` FROM x"}}} {
		if _, err := clickhouse.Statement("d", lake.Query{Scans: []lake.Scan{s}}); !fault.Is(err, fault.Invalid) {
			t.Errorf("%+v: %v", s, err)
		}
	}
}

func TestEveryTableIsOrderedByWhatNarrowsAndEndsInTime(t *testing.T) {
	for _, x := range table.Catalog() {
		ddl := clickhouse.DDL("d", x, 48*time.Hour)
		order := "ORDER BY (`Project`, "
		for _, c := range x.Sorted {
			order += "`" + c + "`, "
		}
		for _, want := range []string{"`d`.`" + x.Name + "`", order + "`TimeGenerated`)", "INTERVAL 172800 SECOND", "`TimeGenerated` Int64 "} {
			if !strings.Contains(ddl, want) {
				t.Errorf("%s is not in\n%s", want, ddl)
			}
		}
		if n := strings.Count(ddl, "ngrambf_v1"); n != len(x.Search) {
			t.Errorf("%s: %d filters for %d columns that are searched", x.Name, n, len(x.Search))
		}
	}
}

func TestAnAddressThatCannotBeReadIsNotShown(t *testing.T) {
	_, err := clickhouse.Open(context.Background(), clickhouse.Options{DSN: "clickhouse://me:s3cret@%zz"})
	if !fault.Is(err, fault.Invalid) || strings.Contains(err.Error(), "s3cret") {
		t.Errorf("%v", err)
	}
	_, err = clickhouse.Open(context.Background(), clickhouse.Options{DSN: "clickhouse://me:s3cret@127.0.0.1:1/d?dial_timeout=200ms"})
	if !fault.Is(err, fault.Unavailable) || strings.Contains(err.Error(), "s3cret") {
		t.Errorf("%v", err)
	}
}
