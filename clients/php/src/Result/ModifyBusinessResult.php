<?php

declare(strict_types=1);

namespace Nivisco\Payments\Result;

/** What `modify_business` answers. Generated: do not edit. */
final class ModifyBusinessResult
{
    /** A sentence for a person. */
    public string $message;
    /** The id of the business. */
    public string $business_id;
    /** @var list<string> The names of the fields that were given. */
    public array $updated_fields;

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
        $result->updated_fields = $answer['updated_fields'] ?? [];

        return $result;
    }
}
