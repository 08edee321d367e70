package admission

// GroupMemory is what control groups allow.
var GroupMemory = groupMemory
