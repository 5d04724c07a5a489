package bind

import (
	"sort"

	"towpath.dev/towpath/internal/monitor/table"
)

// Standard returns the catalogue of the product: its tables, and views with the names and
// columns that Application Insights and older agents gave the same rows.
func Standard() Catalog { return NewCatalog(table.Catalog(), Views()) }

// NewCatalog makes a catalogue of tables and of views, which are texts by name.
func NewCatalog(tables []*table.Table, views map[string]string) Catalog {
	c := &catalog{tables: map[string]*table.Table{}, views: views}
	for _, t := range tables {
		c.tables[t.Name] = t
		c.names = append(c.names, t.Name)
	}
	for name := range views {
		c.names = append(c.names, name)
	}
	sort.Strings(c.names)
	return c
}

type catalog struct {
	tables map[string]*table.Table
	views  map[string]string
	names  []string
}

func (c *catalog) Table(name string) *table.Table { return c.tables[name] }
func (c *catalog) View(name string) string        { return c.views[name] }
func (c *catalog) Names() []string                { return c.names }

// classic are the columns that every classic table of Application Insights ends with.
const classic = `customDimensions=Properties, customMeasurements=Measurements, operation_Name=OperationName, operation_Id=OperationId,
 operation_ParentId=ParentId, operation_SyntheticSource=SyntheticSource, session_Id=SessionId, user_Id=UserId, user_AuthenticatedId=UserAuthenticatedId,
 user_AccountId=UserAccountId, application_Version=AppVersion, client_Type=ClientType, client_Model=ClientModel, client_OS=ClientOS, client_IP=ClientIP,
 client_City=ClientCity, client_StateOrProvince=ClientStateOrProvince, client_CountryOrRegion=ClientCountryOrRegion, client_Browser=ClientBrowser,
 cloud_RoleName=AppRoleName, cloud_RoleInstance=AppRoleInstance, appId=ResourceGUID, appName=_ResourceId, iKey=IKey, sdkVersion=SDKVersion,
 itemId=strcat(OperationId, ParentId), itemCount=ItemCount, _ResourceId, Project, Environment, Release, ImageDigest`

// Views returns the views of the product by name ("Workspace-based Application Insights
// resources", table mapping; ContainerLog after its reference page).
func Views() map[string]string {
	return map[string]string{
		"requests": `AppRequests | project timestamp=TimeGenerated, id=Id, source=Source, name=Name, url=Url, success=iff(Success, "True", "False"), resultCode=ResultCode,
 duration=DurationMs, performanceBucket=PerformanceBucket, itemType="request", ` + classic,
		"dependencies": `AppDependencies | project timestamp=TimeGenerated, id=Id, target=Target, type=DependencyType, name=Name, data=Data, success=iff(Success, "True", "False"),
 resultCode=ResultCode, duration=DurationMs, performanceBucket=PerformanceBucket, itemType="dependency", ` + classic,
		"exceptions": `AppExceptions | project timestamp=TimeGenerated, problemId=ProblemId, handledAt=HandledAt, type=ExceptionType, message=Message, assembly=Assembly,
 method=Method, outerType=OuterType, outerMessage=OuterMessage, outerAssembly=OuterAssembly, outerMethod=OuterMethod, innermostType=InnermostType,
 innermostMessage=InnermostMessage, innermostAssembly=InnermostAssembly, innermostMethod=InnermostMethod, severityLevel=SeverityLevel, details=Details,
 itemType="exception", ` + classic,
		"traces":       `AppTraces | project timestamp=TimeGenerated, message=Message, severityLevel=SeverityLevel, itemType="trace", ` + classic,
		"customEvents": `AppEvents | project timestamp=TimeGenerated, name=Name, itemType="customEvent", ` + classic,
		"pageViews": `AppPageViews | project timestamp=TimeGenerated, id=Id, name=Name, url=Url, duration=DurationMs, performanceBucket=PerformanceBucket,
 itemType="pageView", ` + classic,
		"customMetrics": `AppMetrics | project timestamp=TimeGenerated, name=Name, value=Sum, valueCount=ItemCount, valueSum=Sum, valueMin=Min, valueMax=Max,
 itemType="customMetric", ` + classic,
		"availabilityResults": `AppAvailabilityResults | project timestamp=TimeGenerated, id=Id, name=Name, location=Location, success=iff(Success, "1", "0"), message=Message,
 size=tolong(Size), duration=DurationMs, performanceBucket=PerformanceBucket, itemType="availabilityResult", ` + classic,
		"ContainerLog": `ContainerLogV2 | project TimeGenerated, Computer, ContainerID=ContainerId, Name=PodName, Image=tostring(KubernetesMetadata.image),
 LogEntry=tostring(LogMessage), LogEntrySource=LogSource, TenantId, SourceSystem, Type, _ResourceId, _SubscriptionId, _TimeReceived, _BilledSize, _IsBillable,
 Project, Environment, Release, ImageDigest`,
	}
}
