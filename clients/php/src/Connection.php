<?php

declare(strict_types=1);

namespace Nivisco;

/**
 * Sends calls by curl, with retries. No redirect is followed.
 *
 * @internal
 */
final class Connection
{
    private const FIRST_PAUSE_SECONDS = 0.25;
    private const LONGEST_CONNECT_SECONDS = 5.0;
    private const NOT_IMPLEMENTED = 501;
    /** Statuses of errors that are the final outcome, also of an earlier attempt. */
    private const OUTCOMES = [402, 404, 409];

    private string $url;
    private string $businessId;
    /** @var \Closure(): string A closure is neither exported nor serialized. */
    private \Closure $apiKey;
    private float $timeoutSeconds;
    private bool $isLocal;
    /** @var resource|\CurlHandle|null */
    private $curl = null;

    public function __construct(
        string $url,
        string $businessId,
        #[\SensitiveParameter]
        string $apiKey,
        float $timeoutSeconds,
        bool $allowPlainHttp
    ) {
        $this->url = $url;
        $this->businessId = $businessId;
        $key = $apiKey;
        $apiKey = ''; // before PHP 8.2 the trace of an exception would contain it
        $this->apiKey = static function () use ($key): string {
            return $key;
        };
        $this->timeoutSeconds = $timeoutSeconds;
        $this->isLocal = self::isLocal($url);
        self::check($url, $allowPlainHttp || $this->isLocal);
    }

    /**
     * @return array<string, mixed> everything that may be printed
     */
    public function __debugInfo(): array
    {
        return ['url' => $this->url, 'businessId' => $this->businessId];
    }

    /**
     * Calls a read.
     *
     * @template T
     * @param array<string, mixed> $fields
     * @param callable(array<string, mixed>): T $read reads the response, whose numbers are strings
     * @return T
     * @throws NiviscoException
     */
    public function read(
        string $action,
        #[\SensitiveParameter]
        array $fields,
        callable $read
    ) {
        return $this->send($action, $fields, $read, null);
    }

    /**
     * Calls a mutating action.
     *
     * @template T
     * @param array<string, mixed> $fields
     * @param callable(array<string, mixed>): T $read reads the response, whose numbers are strings
     * @return T
     * @throws NiviscoException
     */
    public function change(
        string $action,
        #[\SensitiveParameter]
        array $fields,
        callable $read
    ) {
        $fields['idempotency_key'] = $fields['idempotency_key'] ?? self::randomId();
        return $this->send($action, $fields, $read, $fields['idempotency_key']);
    }

    /**
     * @template T
     * @param array<string, mixed> $fields
     * @param callable(array<string, mixed>): T $read
     * @return T
     */
    private function send(
        string $action,
        #[\SensitiveParameter]
        array $fields,
        callable $read,
        ?string $idempotencyKey
    ) {
        $requestId = self::randomId();
        $body = $this->body($action, $fields);
        $deadline = self::now() + $this->timeoutSeconds;
        $pause = self::FIRST_PAUSE_SECONDS;
        $mayHaveHappened = false;
        while (true) {
            $this->prepare($body, $requestId, $idempotencyKey !== null, $deadline - self::now());
            try {
                return $this->response($read, $requestId, $idempotencyKey);
            } catch (NiviscoException $problem) {
                $mayHaveHappened = $mayHaveHappened || $problem->outcomeIsUnknown;
                if (!$problem instanceof ApiException || !in_array($problem->httpStatus, self::OUTCOMES, true)) {
                    $problem->outcomeIsUnknown = $mayHaveHappened;
                }
                $wait = $pause * (1 + random_int(0, 500) / 1000);
                if (!$problem instanceof ConnectionFailedException) {
                    $wait = max($wait, (float) $problem->retryAfter);
                }
                if (!self::isRetryable($problem) || self::now() + $wait >= $deadline) {
                    throw $problem;
                }
                usleep((int) ($wait * 1e6));
                $pause *= 2;
            }
        }
    }

    /**
     * @param array<string, mixed> $fields
     */
    private function body(
        string $action,
        #[\SensitiveParameter]
        array $fields
    ): string {
        array_walk_recursive($fields, static function ($value): void {
            if (is_float($value)) {
                throw new \InvalidArgumentException('an amount is a decimal string, never a float');
            }
        });
        $credentials = ['business_id' => $this->businessId, 'api_key' => ($this->apiKey)()];
        $body = json_encode($credentials + ['action' => $action] + self::written($fields), JSON_UNESCAPED_SLASHES);
        if ($body === false) { // the trace of json_encode's own exception would contain the key
            throw new \InvalidArgumentException('the fields have no JSON form: ' . json_last_error_msg());
        }
        return $body;
    }

    /**
     * Has times written in ISO 8601, and a map as an object, also if it is empty or its keys are numbers.
     *
     * @param array<string, mixed> $fields
     * @return array<string, mixed>
     */
    private static function written(
        #[\SensitiveParameter]
        array $fields
    ): array {
        foreach ($fields as $name => $value) {
            if ($value instanceof \DateTimeInterface) {
                $fields[$name] = Values::written($value);
            } elseif (is_array($value)) {
                $fields[$name] = $name === 'metadata' ? (object) $value : self::written($value);
            }
        }
        return $fields;
    }

    private function prepare(
        #[\SensitiveParameter]
        string $body,
        string $requestId,
        bool $isChange,
        float $secondsLeft
    ): void {
        if ($this->curl === null) {
            $curl = curl_init();
            if ($curl === false) {
                throw new \RuntimeException('curl does not start');
            }
            $this->curl = $curl;
        }
        $milliseconds = max(1, (int) ($secondsLeft * 1000));
        curl_setopt_array($this->curl, [
            CURLOPT_URL => $this->url,
            CURLOPT_POST => true,
            CURLOPT_POSTFIELDS => $body,
            CURLOPT_HTTPHEADER => [
                'Content-Type: application/json',
                'Expect:',
                "X-Request-Id: $requestId",
            ],
            CURLOPT_USERAGENT => 'nivisco-php/' . Version::VERSION,
            CURLOPT_RETURNTRANSFER => true,
            // On a reused connection curl retries by itself, which hides a lost attempt.
            CURLOPT_FRESH_CONNECT => $isChange,
            CURLOPT_NOSIGNAL => true,
            CURLOPT_CONNECTTIMEOUT_MS => min($milliseconds, (int) (self::LONGEST_CONNECT_SECONDS * 1000)),
            CURLOPT_TIMEOUT_MS => $milliseconds,
        ]);
        if ($this->isLocal) {
            curl_setopt($this->curl, CURLOPT_NOPROXY, '*'); // a proxy cannot reach this machine
        }
    }

    /**
     * @template T
     * @param callable(array<string, mixed>): T $read
     * @return T
     */
    private function response(callable $read, string $requestId, ?string $idempotencyKey)
    {
        assert($this->curl !== null);
        $headers = [];
        curl_setopt($this->curl, CURLOPT_HEADERFUNCTION, static function ($_, string $line) use (&$headers): int {
            $parts = explode(':', $line, 2);
            if (count($parts) === 2) {
                $headers[strtolower(trim($parts[0]))] = trim($parts[1]);
            }
            return strlen($line);
        });
        $text = curl_exec($this->curl);
        if (!is_string($text)) {
            $reason = curl_error($this->curl);
            $wasSent = (float) curl_getinfo($this->curl, CURLINFO_PRETRANSFER_TIME) > 0.0;
            throw new ConnectionFailedException("no response ($reason)", $wasSent, $requestId, $idempotencyKey);
        }
        $status = (int) curl_getinfo($this->curl, CURLINFO_HTTP_CODE);
        $requestId = $headers['x-request-id'] ?? $requestId;
        $after = $headers['retry-after'] ?? '';
        $after = ctype_digit($after) ? (int) $after : null;
        $body = self::parsed($text);
        if (!is_array($body) || !is_bool($body['success'] ?? null)) {
            throw new UnexpectedResponseException($status, $after, $requestId, $idempotencyKey);
        }
        if ($status < 200 || $status > 299 || !$body['success']) {
            $body += ['code' => $headers['x-error-code'] ?? null];
            throw new ApiException($body, $status, $after, $requestId, $idempotencyKey);
        }
        set_error_handler(static function (int $level, string $message): bool {
            throw new \TypeError($message); // a field is missing
        });
        try {
            return $read(['request_id' => $requestId] + $body);
        } catch (\TypeError $error) {
            throw new UnexpectedResponseException($status, $after, $requestId, $idempotencyKey);
        } finally {
            restore_error_handler();
        }
    }

    /**
     * Reads JSON with every number as a string, so that none is a float.
     *
     * @return mixed
     */
    private static function parsed(
        #[\SensitiveParameter]
        string $text
    ) {
        $exact = preg_replace_callback(
            '/"(?:[^"\\\\]++|\\\\.)*+"|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?/s',
            static function (array $found): string {
                return $found[0][0] === '"' ? $found[0] : "\"$found[0]\"";
            },
            $text
        );
        return json_decode((string) $exact, true);
    }

    private static function isRetryable(NiviscoException $problem): bool
    {
        if ($problem instanceof ApiException || $problem instanceof UnexpectedResponseException) {
            $status = $problem->httpStatus;
            return $status === 408 || $status === 429 || ($status >= 500 && $status !== self::NOT_IMPLEMENTED);
        }
        return true;
    }

    private static function check(string $url, bool $allowPlainHttp): void
    {
        $parts = parse_url($url);
        $scheme = strtolower($parts['scheme'] ?? '');
        $host = strtolower($parts['host'] ?? '');
        if (!in_array($scheme, ['http', 'https'], true) || $host === '' || isset($parts['user'])) {
            throw new \InvalidArgumentException('the URL must be https://host, without a user or password in it');
        }
        if ($scheme === 'http' && !$allowPlainHttp) {
            throw new \InvalidArgumentException(
                'plain http sends the API key in the clear: use https, '
                . 'or $allowPlainHttp where the network is your own'
            );
        }
    }

    /** Returns whether the URL is that of this machine. */
    private static function isLocal(string $url): bool
    {
        $host = strtolower((string) parse_url($url, PHP_URL_HOST));
        return $host === 'localhost' || $host === '[::1]'
            || (strpos($host, '127.') === 0 && filter_var($host, FILTER_VALIDATE_IP) !== false);
    }

    /** Returns the seconds of a monotonic clock. */
    private static function now(): float
    {
        return hrtime(true) / 1e9;
    }

    private static function randomId(): string
    {
        return bin2hex(random_bytes(16));
    }
}
