<?php

declare(strict_types=1);

namespace Nivisco\Payments\Result;

/** What `change_api_key` answers. Generated: do not edit. */
final class ChangeApiKeyResult
{
    /** A sentence for a person. */
    public string $message;
    /** The id of the business. */
    public string $business_id;
    /** The new API key, 64 hexadecimal digits. Store it now. */
    public string $api_key;

    /**
     * @internal
     *
     * @param array<string, mixed> $answer
     */
    public static function read(array $answer): self
    {
        $result = new self();
        $result->message = $answer['message'];
        $result->business_id = $answer['business_id'];
        $result->api_key = $answer['api_key'];

        return $result;
    }

    /** @return array<string, mixed> what a dump shows: no key */
    public function __debugInfo(): array
    {
        $shown = get_object_vars($this);
        $shown['api_key'] = '(hidden)';

        return $shown;
    }
}
