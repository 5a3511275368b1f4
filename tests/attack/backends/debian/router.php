<?php
// PHP as most of its applications are: one file reads the path of REQUEST_URI or PATH_INFO, decoded once.
function as_list($value) {
    if ($value === null) return [];
    if (is_array($value)) return array_merge([], ...array_map('as_list', array_values($value)));
    return [(string) $value];
}
function header_of($name) {
    return as_list($_SERVER['HTTP_' . strtoupper(strtr($name, '-', '_'))] ?? null);
}
$method = $_SERVER['REQUEST_METHOD'] === 'HEAD' ? 'GET' : $_SERVER['REQUEST_METHOD'];
$path = getenv('BY_PATH_INFO') ? ($_SERVER['PATH_INFO'] ?? '') : rawurldecode((string) parse_url($_SERVER['REQUEST_URI'], PHP_URL_PATH));
$operation = 'none';
foreach ([
    ['GET|POST', '~^/admin$~D'], ['GET', '~^/admin/users$~D'], ['GET', '~^/internal$~D'], ['GET|POST', '~^/optional$~D'],
    ['GET|POST|DELETE', '~^/accounts/\d+$~D'], ['GET', '~^/(public|assets)(/.*)?$~Ds'], ['GET', '~^/orgs/[^/]+/data$~D'],
] as [$methods, $pattern]) {
    if (in_array($method, explode('|', $methods), true) && preg_match($pattern, $path)) $operation = $pattern;
}
$execution = json_encode([
    'attempt' => header_of('x-attempt')[0] ?? '',
    'operation' => $operation,
    'path' => $operation === 'none' ? null : (as_list($path)[0] ?? ''),
    'method' => $method,
    'host' => as_list($_SERVER['HTTP_HOST'] ?? '')[0],
    'virtual_host' => header_of('x-virtual-host'),
    'user' => header_of('x-user-id'),
    'groups' => header_of('x-groups'),
    'authorization' => header_of('authorization'),
    'param' => as_list($_GET['access_token'] ?? null),
    'cookie' => as_list($_COOKIE['access_token'] ?? null),
], JSON_UNESCAPED_SLASHES | JSON_INVALID_UTF8_SUBSTITUTE);
file_put_contents(getenv('EXECUTIONS'), "$execution\n", FILE_APPEND);
echo $execution;
